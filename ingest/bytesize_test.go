package ingest

import "testing"

func TestByteSize(t *testing.T) {
	tests := []struct {
		text string
		want ByteSize
		out  string // empty: refused
	}{
		{"0", 0, "0"},
		{"1024", 1024, "1KiB"},
		{"1025", 1025, "1025"},
		{"17B", 17, "17"},
		{"64MiB", 64 << 20, "64MiB"},
		{" 4 MiB ", 4 << 20, "4MiB"},
		{"2048KiB", 2 << 20, "2MiB"},
		{"3GiB", 3 << 30, "3GiB"},
		{"9223372036854775807", 1<<63 - 1, "9223372036854775807"},
		{"9223372036854775808", 0, ""},
		{"8589934592GiB", 0, ""},
		{"64MB", 0, ""},
		{"64M", 0, ""},
		{"1.5MiB", 0, ""},
		{"-1", 0, ""},
		{"MiB", 0, ""},
		{"", 0, ""},
	}
	for _, test := range tests {
		var got ByteSize
		err := got.UnmarshalText([]byte(test.text))
		if (err == nil) != (test.out != "") || got != test.want || err == nil && got.String() != test.out {
			t.Errorf("%q: got %d %q (%v), want %d %q", test.text, got, got, err, test.want, test.out)
		}
	}
}
