package nsca

import (
	"math/bits"
	"sync"
)

// rijndael is the cipher that AES was chosen from, with the larger blocks that AES
// left out, and a key of 32 bytes: https://csrc.nist.gov/csrc/media/projects/cryptographic-standards-and-guidelines/documents/aes-development/rijndael-ammended.pdf
// It only encrypts, which is all that CFB needs.
type rijndael struct {
	columns int
	keys    []byte // of all rounds
	sbox    *[256]byte
	// from says where each byte of a shifted row comes from.
	from []int
}

// keySize and rounds are those of a key as large as it can be.
const (
	keySize = 32
	rounds  = 14
)

func newRijndael(key *[keySize]byte, blockSize int) *rijndael {
	r := &rijndael{columns: blockSize / 4, sbox: substitution()}
	shifts := [4]int{0, 1, 2, 3}
	if r.columns == 8 {
		shifts = [4]int{0, 1, 3, 4}
	}
	for i := range blockSize {
		row, column := i%4, i/4
		r.from = append(r.from, (column+shifts[row])%r.columns*4+row)
	}
	r.expand(key)
	return r
}

// expand makes the keys of all rounds.
func (r *rijndael) expand(key *[keySize]byte) {
	w := append(make([]byte, 0, (rounds+1)*r.BlockSize()+keySize), key[:]...)
	constant := byte(1)
	for i := keySize; i < (rounds+1)*r.BlockSize(); i += 4 {
		t := [4]byte(w[i-4:])
		switch i % keySize {
		case 0:
			t = [4]byte{r.sbox[t[1]] ^ constant, r.sbox[t[2]], r.sbox[t[3]], r.sbox[t[0]]}
			constant = double(constant)
		case keySize / 2:
			t = [4]byte{r.sbox[t[0]], r.sbox[t[1]], r.sbox[t[2]], r.sbox[t[3]]}
		}
		for k := range t {
			w = append(w, w[i-keySize+k]^t[k])
		}
	}
	r.keys = w
}

// BlockSize implements blockCipher.
func (r *rijndael) BlockSize() int { return 4 * r.columns }

// Encrypt implements blockCipher.
func (r *rijndael) Encrypt(dst, src []byte) {
	var state, next [32]byte
	n := r.BlockSize()
	for i := range n {
		state[i] = src[i] ^ r.keys[i]
	}
	for round := 1; round <= rounds; round++ {
		for i := range n {
			next[i] = r.sbox[state[r.from[i]]]
		}
		key := r.keys[round*n:]
		if round == rounds {
			for i := range n {
				dst[i] = next[i] ^ key[i]
			}
			return
		}
		for i := 0; i < n; i += 4 {
			a, b, c, d := next[i], next[i+1], next[i+2], next[i+3]
			all := a ^ b ^ c ^ d
			state[i] = a ^ all ^ double(a^b) ^ key[i]
			state[i+1] = b ^ all ^ double(b^c) ^ key[i+1]
			state[i+2] = c ^ all ^ double(c^d) ^ key[i+2]
			state[i+3] = d ^ all ^ double(d^a) ^ key[i+3]
		}
	}
}

// double multiplies by x in the field with 256 elements.
func double(b byte) byte { return b<<1 ^ b>>7*0x1b }

// substitution is the table of the cipher: the inverse in the field, and then a
// sum of it rotated.
var substitution = sync.OnceValue(func() *[256]byte {
	var powers [255]byte // of 3, which makes all elements but 0
	var logs [256]int
	for i, p := 0, byte(1); i < 255; i, p = i+1, p^double(p) {
		powers[i], logs[p] = p, i
	}
	table := new([256]byte)
	for i := range table {
		inverse := byte(0)
		if i > 0 {
			inverse = powers[(255-logs[i])%255]
		}
		table[i] = 0x63 ^ inverse ^ bits.RotateLeft8(inverse, 1) ^ bits.RotateLeft8(inverse, 2) ^ bits.RotateLeft8(inverse, 3) ^ bits.RotateLeft8(inverse, 4)
	}
	return table
})
