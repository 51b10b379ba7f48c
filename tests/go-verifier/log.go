package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

const height = 8 // of tiles: 256 entries or hashes each

// verifyLog verifies everything in a log's directory: c2sp.org/tlog-tiles, the write-ahead file, the texts.
func verifyLog(directory string, key *logKey) (string, error) {
	signed, err := os.ReadFile(filepath.Join(directory, "checkpoint"))
	if err != nil {
		return "", fmt.Errorf("%w: %v", errUnchecked, err)
	}
	point, err := openCheckpoint(signed, key)
	if err != nil {
		return "", err
	}
	entries, err := readBundles(directory, point.size)
	if err != nil {
		return "", err
	}
	if err := compareTree(directory, point, entries); err != nil {
		return "", err
	}
	more, err := compareWriteAhead(directory, point, entries)
	if err != nil {
		return "", err
	}
	erased, err := checkEntries(directory, point, append(entries, more...))
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s: %d entries, %d of them signed, %d texts erased, root %v",
		point.origin, point.size+int64(len(more)), point.size, erased, point.root), nil
}

// tilePath is where a tile lies; tlog puts the height before the level, and `data` for `entries`.
func tilePath(tile tlog.Tile) string {
	path := strings.TrimPrefix(tile.Path(), fmt.Sprintf("tile/%d/", tile.H))
	return filepath.Join("tile", strings.Replace(path, "data/", "entries/", 1))
}

func readBundles(directory string, size int64) ([][]byte, error) {
	var entries [][]byte
	for at := int64(0); at*256 < size; at++ {
		width := 256
		if rest := size - at*256; rest < 256 {
			width = int(rest)
		}
		path := tilePath(tlog.Tile{H: height, L: -1, N: at, W: width})
		bundle, err := os.ReadFile(filepath.Join(directory, path))
		if err != nil {
			return nil, err
		}
		for count := 0; count < width; count++ {
			if len(bundle) < 2 {
				return nil, fmt.Errorf("entry %d: %s ends before it", len(entries), path)
			}
			length := int(binary.BigEndian.Uint16(bundle))
			if len(bundle)-2 < length {
				return nil, fmt.Errorf("entry %d: %s ends within it", len(entries), path)
			}
			entries = append(entries, bundle[2:2+length])
			bundle = bundle[2+length:]
		}
		if len(bundle) > 0 {
			return nil, fmt.Errorf("%s goes on behind entry %d", path, len(entries)-1)
		}
	}
	return entries, nil
}

// compareTree builds the whole tree from the entries, and compares its root and every published tile.
func compareTree(directory string, point *checkpoint, entries [][]byte) error {
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		hashes := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			if index >= int64(len(stored)) {
				return nil, fmt.Errorf("hash %d is not there", index)
			}
			hashes[i] = stored[index]
		}
		return hashes, nil
	})
	for index, entry := range entries {
		hashes, err := tlog.StoredHashes(int64(index), entry, reader)
		if err != nil {
			return err
		}
		stored = append(stored, hashes...)
	}
	for _, tile := range tiles(point.size) {
		expected, err := tlog.ReadTileData(tile, reader)
		if err != nil {
			return err
		}
		published, err := os.ReadFile(filepath.Join(directory, tilePath(tile)))
		if err != nil {
			return err
		}
		if !bytes.Equal(published, expected) {
			return fmt.Errorf("%s does not hold the hashes of the entries", tilePath(tile))
		}
	}
	if point.size == 0 {
		return nil
	}
	root, err := tlog.TreeHash(point.size, reader)
	if err != nil {
		return err
	}
	if root != point.root {
		return fmt.Errorf("the root over %d entries is %v, and %v was signed", point.size, root, point.root)
	}
	return nil
}

// tiles are the tiles of a tree of this size: those that are full, and at the end of each level one that is not.
func tiles(size int64) (all []tlog.Tile) {
	for level := 0; size > 0; level, size = level+1, size>>height {
		for at := int64(0); at < size>>height; at++ {
			all = append(all, tlog.Tile{H: height, L: level, N: at, W: 1 << height})
		}
		if width := int(size & (1<<height - 1)); width > 0 {
			all = append(all, tlog.Tile{H: height, L: level, N: size >> height, W: width})
		}
	}
	return all
}

// compareWriteAhead compares the write-ahead file, where there is one, with the entries, and answers those
// that are not signed yet.
func compareWriteAhead(directory string, point *checkpoint, entries [][]byte) ([][]byte, error) {
	file, err := os.ReadFile(filepath.Join(directory, "wal"))
	if os.IsNotExist(err) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	first := fmt.Sprintf("agentguard wal v1 %s\n", point.origin)
	if !bytes.HasPrefix(file, []byte(first)) {
		return nil, fmt.Errorf("the write-ahead file is of another log")
	}
	file = file[len(first):]
	var more [][]byte
	for index := 0; len(file) > 0; index++ {
		isSigned := index < len(entries)
		if len(file) < 12 || uint64(len(file)-12) < uint64(binary.BigEndian.Uint32(file)) {
			if isSigned {
				return nil, fmt.Errorf("entry %d: the write-ahead file ends before its end", index)
			}
			break // a torn tail: nobody relied on it
		}
		length := int(binary.BigEndian.Uint32(file))
		check, entry := file[4:12], file[12:12+length]
		leaf := tlog.RecordHash(entry)
		if !bytes.Equal(check, leaf[:8]) {
			return nil, fmt.Errorf("entry %d: its frame in the write-ahead file is broken", index)
		}
		if !isSigned {
			more = append(more, entry)
		} else if !bytes.Equal(entry, entries[index]) {
			return nil, fmt.Errorf("entry %d: the write-ahead file holds another", index)
		}
		file = file[12+length:]
		if len(file) == 0 && index+1 < len(entries) {
			return nil, fmt.Errorf("entry %d: the write-ahead file does not hold it", index+1)
		}
	}
	return more, nil
}
