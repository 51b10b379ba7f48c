package main

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// entry is what this verifier understands of an entry.
type entry struct {
	V       int    `json:"v"`
	Seq     *int64 `json:"seq"`
	Time    string `json:"time"`
	Session string `json:"session"`
	Agent   string `json:"agent"`
	Human   string `json:"human"`
	Event   struct {
		Kind  string          `json:"kind"`
		Of    *int64          `json:"of"`
		Text  string          `json:"text"`
		Agent json.RawMessage `json:"agent"`
		Human json.RawMessage `json:"human"`
		// The agent's, over the session's start.
		Signature string `json:"signature"`
		Ruling    struct {
			Ruling string `json:"ruling"`
		} `json:"ruling"`
	} `json:"event"`
}

func parseEntry(index int64, data []byte) (*entry, error) {
	var parsed entry
	if err := json.Unmarshal(data, &parsed); err != nil {
		return nil, fmt.Errorf("entry %d: %v", index, err)
	}
	if parsed.V != 1 || parsed.Seq == nil || *parsed.Seq != index {
		return nil, fmt.Errorf("entry %d: it is not of version 1, or names another place", index)
	}
	return &parsed, nil
}

// checkEntries checks what entries mean together.
func checkEntries(directory string, point *checkpoint, entries [][]byte) error {
	texts, err := readTexts(directory)
	if err != nil {
		return err
	}
	parts := strings.SplitN(point.origin, "/", 3)
	decided := map[int64]string{}
	for place, data := range entries {
		index := int64(place)
		parsed, err := parseEntry(index, data)
		if err != nil {
			return err
		}
		if len(parts) == 3 && parsed.Session != parts[2] {
			return fmt.Errorf("entry %d: it is of another session", index)
		}
		event := parsed.Event
		if len(parts) == 3 && (index == 0) != (event.Kind == "session.start") {
			return fmt.Errorf("entry %d: a session starts once, at its beginning", index)
		}
		switch event.Kind {
		case "session.start":
			err = checkStart(parsed)
		case "decision":
			decided[index] = event.Ruling.Ruling
		case "outcome", "repeat":
			if event.Of == nil || decided[*event.Of] == "" || *event.Of >= index {
				err = fmt.Errorf("it belongs to no decision before it")
			} else if event.Kind == "repeat" && decided[*event.Of] != "deny" {
				err = fmt.Errorf("what it repeats was not refused")
			}
		}
		if err == nil {
			err = texts.check(index, event.Text)
		}
		if err != nil {
			return fmt.Errorf("entry %d: %v", index, err)
		}
	}
	return nil
}

// checkStart verifies the agent's own signature over its session.
func checkStart(start *entry) error {
	var agent struct {
		Key string `json:"key"`
	}
	var human struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(start.Event.Agent, &agent); err != nil {
		return err
	}
	if err := json.Unmarshal(start.Event.Human, &human); err != nil {
		return err
	}
	if human.ID != start.Human {
		return fmt.Errorf("it names two humans")
	}
	if _, err := note.NewVerifier(agent.Key); err != nil {
		return fmt.Errorf("the agent's key: %v", err)
	}
	typed, err := base64.StdEncoding.DecodeString(strings.SplitN(agent.Key, "+", 3)[2])
	if err != nil {
		return err
	}
	signature, err := base64.StdEncoding.DecodeString(start.Event.Signature)
	if err != nil {
		return err
	}
	statement := fmt.Sprintf("agentguard session v1\n%s\n%s\n%s\n", start.Session, human.ID, start.Event.Text)
	if !ed25519.Verify(ed25519.PublicKey(typed[1:]), []byte(statement), signature) {
		return fmt.Errorf("the agent did not sign it")
	}
	return nil
}

// texts are what entries commit to, by their places. What was erased is not there.
type texts map[int64]struct{ salt, text string }

func readTexts(directory string) (texts, error) {
	file, err := os.Open(filepath.Join(directory, "texts"))
	if os.IsNotExist(err) {
		return texts{}, nil
	} else if err != nil {
		return nil, err
	}
	defer file.Close()
	found := texts{}
	lines := bufio.NewReader(file)
	for {
		data, err := lines.ReadBytes('\n')
		if err != nil {
			return found, nil // without a line break at its end it was not written whole
		}
		if len(bytes.TrimSpace(data)) == 0 {
			continue
		}
		var line struct {
			Seq  int64  `json:"seq"`
			Salt string `json:"salt"`
			Text string `json:"text"`
		}
		if err := json.Unmarshal(data, &line); err != nil {
			return nil, fmt.Errorf("the texts: %v", err)
		}
		found[line.Seq] = struct{ salt, text string }{line.Salt, line.Text}
	}
}

func (all texts) check(index int64, commitment string) error {
	kept, isKept := all[index]
	if !isKept || commitment == "" {
		return nil
	}
	salt, err := hex.DecodeString(kept.salt)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(append(salt, kept.text...))
	if commitment != "sha256:"+hex.EncodeToString(sum[:]) {
		return fmt.Errorf("its text is not what it commits to")
	}
	return nil
}
