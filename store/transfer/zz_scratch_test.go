package transfer_test

import ("testing"; "os"; "github.com/tocsin-gateway/tocsin/store/transfer")

func TestScratch(t *testing.T) {
	d := os.Getenv("SCRATCH"); if d == "" { t.Skip() }
	r, err := try(t, t.Context(), d, newFolder(t), transfer.Options{})
	t.Log(r.Copied, r.Verified, err)
}
