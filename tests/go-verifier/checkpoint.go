package main

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// logKey is the key of an installation: of the log of its name, and of the logs named below it.
type logKey struct {
	name   string
	public []byte
}

func parseKey(vkey string) (*logKey, error) {
	verifier, err := note.NewVerifier(vkey) // the hash fits, and the key is an Ed25519 key
	if err != nil {
		return nil, fmt.Errorf("`%s` is no verifier key: %v", vkey, err)
	}
	parts := strings.SplitN(vkey, "+", 3)
	typed, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil {
		return nil, err
	}
	return &logKey{name: verifier.Name(), public: typed[1:]}, nil
}

// verifier is the key in the name of the log `origin`.
func (key *logKey) verifier(origin string) (note.Verifier, error) {
	if origin != key.name && !strings.HasPrefix(origin, key.name+"/") {
		return nil, fmt.Errorf("%w: the key `%s` is not the log's, `%s`", errUnchecked, key.name, origin)
	}
	vkey, err := note.NewEd25519VerifierKey(origin, key.public)
	if err != nil {
		return nil, err
	}
	return note.NewVerifier(vkey)
}

// checkpoint is what a log's key signed: c2sp.org/tlog-checkpoint.
type checkpoint struct {
	origin string
	size   int64
	root   tlog.Hash
}

func openCheckpoint(signed []byte, key *logKey) (*checkpoint, error) {
	origin, _, _ := strings.Cut(string(signed), "\n")
	verifier, err := key.verifier(origin)
	if err != nil {
		return nil, err
	}
	opened, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return nil, fmt.Errorf("the checkpoint: %v", err)
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 4 || lines[0] != origin {
		return nil, fmt.Errorf("the checkpoint has too few lines")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return nil, fmt.Errorf("the checkpoint's size is `%s`", lines[1])
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		return nil, fmt.Errorf("the checkpoint's root: %v", err)
	}
	return &checkpoint{origin: origin, size: size, root: root}, nil
}
