package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// digest is SHA-256 as entries write it.
func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// fields are what OpenSSH writes: each behind its length in four bytes.
type fields struct {
	rest  []byte
	short bool
}

func (all *fields) split(length int) []byte {
	if length < 0 || len(all.rest) < length {
		all.short, all.rest = true, nil
		return make([]byte, 0)
	}
	taken := all.rest[:length]
	all.rest = all.rest[length:]
	return taken
}

func (all *fields) number() uint32 {
	if taken := all.split(4); len(taken) == 4 {
		return binary.BigEndian.Uint32(taken)
	}
	return 0
}

func (all *fields) take() []byte {
	return all.split(int(all.number()))
}

// whole says whether everything was there, and nothing else.
func (all *fields) whole() bool {
	return !all.short && len(all.rest) == 0
}

func field(data []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(data))), data...)
}

// verifySSHSig verifies what `ssh-keygen -Y sign` made with an Ed25519 key, of a file or a security key
// (PROTOCOL.sshsig, PROTOCOL.u2f).
func verifySSHSig(encoded, namespace string, message []byte) error {
	blob, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return err
	}
	magic := []byte("SSHSIG")
	if !bytes.HasPrefix(blob, magic) {
		return fmt.Errorf("it is no SSH signature")
	}
	all := fields{rest: blob[len(magic):]}
	version := all.number()
	key, space, reserved, hash, signature := all.take(), all.take(), all.take(), all.take(), all.take()
	if !all.whole() || version != 1 {
		return fmt.Errorf("it is not a whole signature of version 1")
	}
	if string(space) != namespace {
		return fmt.Errorf("it was made for something else")
	}
	var sum []byte
	switch string(hash) {
	case "sha256":
		digest := sha256.Sum256(message)
		sum = digest[:]
	case "sha512":
		digest := sha512.Sum512(message)
		sum = digest[:]
	default:
		return fmt.Errorf("its hash is not known")
	}
	signed := append([]byte{}, magic...)
	for _, one := range [][]byte{space, reserved, hash, sum} {
		signed = append(signed, field(one)...)
	}
	return verifyWith(key, signature, signed)
}

// verifyWith verifies the signature of a key, both as OpenSSH writes them.
func verifyWith(key, signature, signed []byte) error {
	public, made := fields{rest: key}, fields{rest: signature}
	kind, point := string(public.take()), public.take()
	if string(made.take()) != kind {
		return fmt.Errorf("it is not of its key's kind")
	}
	raw := made.take()
	switch kind {
	case "ssh-ed25519":
	case "sk-ssh-ed25519@openssh.com":
		application := sha256.Sum256(public.take())
		tail := made.split(5) // flags and a counter
		if len(tail) != 5 || tail[0]&1 == 0 {
			return fmt.Errorf("nobody touched the security key")
		}
		digest := sha256.Sum256(signed)
		signed = append(append(application[:], tail...), digest[:]...)
	default:
		return fmt.Errorf("its key is not an Ed25519 one")
	}
	if !public.whole() || !made.whole() || len(point) != ed25519.PublicKeySize {
		return fmt.Errorf("it or its key is not whole")
	}
	if !ed25519.Verify(ed25519.PublicKey(point), signed, raw) {
		return fmt.Errorf("its key did not sign this")
	}
	return nil
}
