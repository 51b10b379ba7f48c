package main

import (
	"encoding/base64"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

const receiptLine = "c2sp.org/tlog-proof@v1\n"

// receipt is one entry, proven to stand in a signed state of a log.
type receipt struct {
	index int64
	point *checkpoint
	entry []byte
}

// verifyReceipt verifies entries by receipts alone, which stand one behind the other.
func verifyReceipt(path string, key *logKey) (string, error) {
	receipts, err := readReceipts(path, key)
	if err != nil {
		return "", err
	}
	var said []string
	for _, proven := range receipts {
		said = append(said, fmt.Sprintf("entry %d of %s", proven.index, proven.point.origin))
	}
	return strings.Join(said, ", "), nil
}

func readReceipts(path string, key *logKey) ([]*receipt, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", errUnchecked, err)
	}
	var receipts []*receipt
	for _, text := range strings.Split("\n"+string(data), "\n"+receiptLine)[1:] {
		proven, err := readReceipt(strings.TrimSuffix(text, "\n")+"\n", key)
		if err != nil {
			return nil, err
		}
		receipts = append(receipts, proven)
	}
	if !strings.HasPrefix(string(data), receiptLine) || len(receipts) == 0 {
		return nil, fmt.Errorf("it is no receipt")
	}
	return receipts, nil
}

// readReceipt reads c2sp.org/tlog-proof behind its first line, with the entry as `extra`.
func readReceipt(text string, key *logKey) (*receipt, error) {
	head, signed, isWhole := strings.Cut(text, "\n\n")
	lines := strings.Split(head, "\n")
	if !isWhole || len(lines) < 2 {
		return nil, fmt.Errorf("it is no receipt")
	}
	if !strings.HasPrefix(lines[0], "extra ") || !strings.HasPrefix(lines[1], "index ") {
		return nil, fmt.Errorf("it has no entry or no index")
	}
	entry, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(lines[0], "extra "))
	if err != nil {
		return nil, err
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[1], "index "), 10, 64)
	if err != nil {
		return nil, err
	}
	var proof tlog.RecordProof
	for _, line := range lines[2:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return nil, err
		}
		proof = append(proof, hash)
	}
	point, err := openCheckpoint([]byte(signed), key)
	if err != nil {
		return nil, err
	}
	if index < 0 || index >= point.size {
		return nil, fmt.Errorf("the checkpoint does not cover entry %d", index)
	}
	if err := tlog.CheckRecord(proof, point.size, point.root, index, tlog.RecordHash(entry)); err != nil {
		return nil, err
	}
	if _, err := parseEntry(index, entry); err != nil {
		return nil, err
	}
	return &receipt{index: index, point: point, entry: entry}, nil
}
