package main

import (
	"encoding/base64"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// verifyReceipt verifies one entry by a receipt alone: c2sp.org/tlog-proof, with the entry as `extra`.
func verifyReceipt(path string, key *logKey) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("%w: %v", errUnchecked, err)
	}
	head, signed, isWhole := strings.Cut(string(data), "\n\n")
	lines := strings.Split(head, "\n")
	if !isWhole || len(lines) < 3 || lines[0] != "c2sp.org/tlog-proof@v1" {
		return "", fmt.Errorf("it is no receipt")
	}
	if !strings.HasPrefix(lines[1], "extra ") || !strings.HasPrefix(lines[2], "index ") {
		return "", fmt.Errorf("it has no entry or no index")
	}
	entry, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(lines[1], "extra "))
	if err != nil {
		return "", err
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[2], "index "), 10, 64)
	if err != nil {
		return "", err
	}
	var proof tlog.RecordProof
	for _, line := range lines[3:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return "", err
		}
		proof = append(proof, hash)
	}
	point, err := openCheckpoint([]byte(signed), key)
	if err != nil {
		return "", err
	}
	if index < 0 || index >= point.size {
		return "", fmt.Errorf("the checkpoint does not cover entry %d", index)
	}
	if err := tlog.CheckRecord(proof, point.size, point.root, index, tlog.RecordHash(entry)); err != nil {
		return "", err
	}
	if _, err := parseEntry(index, entry); err != nil {
		return "", err
	}
	return fmt.Sprintf("entry %d of %s", index, point.origin), nil
}
