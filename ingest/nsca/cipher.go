package nsca

//lint:file-ignore SA1019 These ciphers are what the protocol has; nothing is promised of them.

import (
	"crypto/aes"
	"crypto/des"
	"fmt"

	"golang.org/x/crypto/blowfish"
	"golang.org/x/crypto/cast5"
	"golang.org/x/crypto/twofish"
	"golang.org/x/crypto/xtea"
)

// blockCipher is a cipher in one direction.
type blockCipher interface {
	BlockSize() int
	Encrypt(dst, src []byte)
}

// method is a way to encrypt, under the number that it has in send_nsca.cfg.
type method struct {
	name string
	// key is the size of the key. The password is cut to it, or followed by zeros.
	key int
	new func(key []byte) (blockCipher, error)
}

// methods are those that are understood besides 0, not encrypted, and 1, XOR. Not
// understood are 5 (CAST-256), 10 (LOKI97), 11 (RC2), 20 (Serpent), 23 (GOST) and 26
// (SAFER+), for which there is no library here; the others are none of send_nsca.
var methods = map[int]method{
	2:  {"DES", 8, of(des.NewCipher)},
	3:  {"3DES", 24, of(des.NewTripleDESCipher)},
	4:  {"CAST-128", 16, of(cast5.NewCipher)},
	6:  {"XTEA", 16, of(xtea.NewCipher)},
	8:  {"Blowfish", 56, of(blowfish.NewCipher)},
	9:  {"Twofish", 32, of(twofish.NewCipher)},
	14: {"Rijndael-128", keySize, of(aes.NewCipher)},
	15: {"Rijndael-192", keySize, func(key []byte) (blockCipher, error) { return newRijndael((*[keySize]byte)(key), 24), nil }},
	16: {"Rijndael-256", keySize, func(key []byte) (blockCipher, error) { return newRijndael((*[keySize]byte)(key), 32), nil }},
}

// of makes a constructor of a library's fit.
func of[C blockCipher](build func([]byte) (C, error)) func([]byte) (blockCipher, error) {
	return func(key []byte) (blockCipher, error) { return build(key) }
}

// decrypter decrypts what one client sends, in its order.
type decrypter interface {
	// packet is called before each packet, and decrypt with what comes in it.
	packet()
	decrypt(b []byte)
}

// newDecrypter returns what undoes a method, for the IV that the client was given.
func newDecrypter(number int, password string, iv []byte) (decrypter, error) {
	switch number {
	case 0:
		return plain{}, nil
	case 1:
		return &xor{iv: iv, password: []byte(password)}, nil
	}
	m, ok := methods[number]
	if !ok {
		return nil, fmt.Errorf("nsca: encryption method %d is not supported; 0 to 4, 6, 8, 9 and 14 to 16 are", number)
	}
	key := make([]byte, m.key)
	copy(key, password)
	c, err := m.new(key)
	if err != nil {
		return nil, fmt.Errorf("nsca: %s: %w", m.name, err)
	}
	f := &cfb{cipher: c, size: c.BlockSize()}
	copy(f.register[:f.size], iv)
	return f, nil
}

type plain struct{}

func (plain) packet()        {}
func (plain) decrypt([]byte) {}

// xor adds the IV and the password, each over and over again, from the beginning
// of each packet.
type xor struct {
	iv, password []byte
	at           int
}

func (x *xor) packet() { x.at = 0 }

func (x *xor) decrypt(b []byte) {
	for i := range b {
		b[i] ^= x.iv[x.at%len(x.iv)]
		if len(x.password) > 0 {
			b[i] ^= x.password[x.at%len(x.password)]
		}
		x.at++
	}
}

// cfb is cipher feedback of 8 bits, which is what mcrypt calls cfb: each byte costs
// a block. It goes on from one packet to the next.
type cfb struct {
	cipher   blockCipher
	size     int
	register [32]byte
}

func (f *cfb) packet() {}

func (f *cfb) decrypt(b []byte) {
	var block [32]byte
	register := f.register[:f.size]
	for i, c := range b {
		f.cipher.Encrypt(block[:f.size], register)
		copy(register, register[1:])
		register[f.size-1] = c
		b[i] = c ^ block[0]
	}
}
