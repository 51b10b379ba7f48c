// Verifies logs and receipts of agentguard, by the formats of docs/log-format.md and a verifier key alone.
//
// It shares no code with agentguard: hashes, proofs and signed notes are those of Go's checksum database,
// golang.org/x/mod/sumdb.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// How it ends, as `agentguard verify` does.
const (
	verified  = 0
	refuted   = 1
	unchecked = 2
)

// errUnchecked is at the bottom of errors that say that nothing was checked.
var errUnchecked = errors.New("could not be checked")

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: go-verifier VKEY [COMMIT=]LOG-DIRECTORY|RECEIPT...")
		os.Exit(unchecked)
	}
	key, err := parseKey(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "go-verifier:", err)
		os.Exit(unchecked)
	}
	code := verified
	for _, path := range os.Args[2:] {
		said, err := verify(path, key)
		switch {
		case err == nil:
			fmt.Println("verified:", said)
			continue
		case errors.Is(err, errUnchecked) && code == verified:
			code = unchecked
		case !errors.Is(err, errUnchecked):
			code = refuted
		}
		fmt.Printf("not verified: %s: %v\n", path, err)
	}
	os.Exit(code)
}

// verify verifies a log or a receipt, or what stands behind a commit and `=`: its receipt.
func verify(path string, key *logKey) (string, error) {
	if commit, receipt, isCommit := strings.Cut(path, "="); isCommit {
		return verifyCommit(commit, receipt, key)
	}
	found, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("%w: %v", errUnchecked, err)
	}
	if found.IsDir() {
		return verifyLog(path, key)
	}
	return verifyReceipt(path, key)
}
