package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// kept is a line of the texts: a text with its salt, or that it was erased, and which entry of the anchor log
// says so.
type kept struct {
	Seq    int64   `json:"seq"`
	Salt   *string `json:"salt"`
	Text   *string `json:"text"`
	Erased *int64  `json:"erased"`
}

// texts are what entries commit to, by their places, and what the anchor log says was erased.
type texts struct {
	kept map[int64]kept
	// nil where there is no anchor log beside this one.
	recorded func(int64) bool
}

func readTexts(directory, origin string) (*texts, error) {
	all := &texts{kept: map[int64]kept{}, recorded: recordedErasures(directory, origin)}
	file, err := os.Open(filepath.Join(directory, "texts"))
	if os.IsNotExist(err) {
		return all, nil
	} else if err != nil {
		return nil, err
	}
	defer file.Close()
	lines, last := bufio.NewReader(file), int64(-1)
	for {
		data, err := lines.ReadBytes('\n')
		if err != nil {
			return all, nil // without a line break at its end it was not written whole
		}
		var line kept
		if err := json.Unmarshal(data, &line); err != nil {
			return nil, fmt.Errorf("the texts: %v", err)
		}
		isText := line.Salt != nil && line.Text != nil && line.Erased == nil
		isErased := line.Salt == nil && line.Text == nil && line.Erased != nil
		if !isText && !isErased {
			return nil, fmt.Errorf("the texts: of entry %d there is neither a text nor that it was erased", line.Seq)
		}
		if line.Seq <= last {
			return nil, fmt.Errorf("the texts: of entry %d it follows after entry %d", line.Seq, last)
		}
		last = line.Seq
		all.kept[line.Seq] = line
	}
}

// check checks the text of an entry, and says whether it was erased. One that is not there is no damage.
func (all *texts) check(index int64, commitment string) (bool, error) {
	line, isKept := all.kept[index]
	if !isKept {
		return false, nil
	}
	if line.Erased != nil {
		if all.recorded != nil && !all.recorded(index) {
			return false, fmt.Errorf("its text is said to be erased, which nothing records")
		}
		return true, nil
	}
	salt, err := hex.DecodeString(*line.Salt)
	if err != nil {
		return false, err
	}
	sum := sha256.Sum256(append(salt, *line.Text...))
	if commitment != "sha256:"+hex.EncodeToString(sum[:]) {
		return false, fmt.Errorf("its text is not what it commits to")
	}
	return false, nil
}

// recordedErasures reads from the anchor log beside a session's log what was erased of it.
func recordedErasures(directory, origin string) func(int64) bool {
	file, err := os.ReadFile(filepath.Join(directory, "..", "..", "anchor", "wal"))
	if err != nil {
		return nil
	}
	var spans [][2]int64
	file = file[bytes.IndexByte(file, '\n')+1:]
	for len(file) >= 12 {
		length := int(binary.BigEndian.Uint32(file))
		if len(file)-12 < length {
			break
		}
		var parsed entry
		isEntry := json.Unmarshal(file[12:12+length], &parsed) == nil
		if isEntry && parsed.Event.Kind == "erasure" && parsed.Event.Log == origin {
			spans = append(spans, parsed.Event.Entries...)
		}
		file = file[12+length:]
	}
	return func(index int64) bool {
		for _, span := range spans {
			if span[0] <= index && index <= span[1] {
				return true
			}
		}
		return false
	}
}
