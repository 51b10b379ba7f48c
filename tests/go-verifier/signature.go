package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

var messageDigest = regexp.MustCompile(`^sha512:[0-9a-f]{128}$`)

// signatures is what the agent's key signed for git in a session so far.
type signatures struct {
	key  string
	made map[int64]bool
}

// begin takes the agent's key from the session's start, and names it as ssh-keygen does.
func (s *signatures) begin(start json.RawMessage) error {
	var agent struct {
		Key string `json:"key"`
	}
	if err := json.Unmarshal(start, &agent); err != nil {
		return err
	}
	typed, err := base64.StdEncoding.DecodeString(strings.SplitN(agent.Key, "+", 3)[2])
	if err != nil {
		return err
	}
	blob := []byte("\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20")
	sum := sha256.Sum256(append(blob, typed[1:]...))
	s.key, s.made = "SHA256:"+base64.RawStdEncoding.EncodeToString(sum[:]), map[int64]bool{}
	return nil
}

// see checks a signature: it is by the agent's key, and what was signed is named.
func (s *signatures) see(index int64, parsed *entry) error {
	event := parsed.Event
	if event.Key != s.key {
		return fmt.Errorf("it is signed by another key than the agent's")
	}
	switch event.Ruling.Ruling {
	case "deny":
		return nil
	case "allow":
		if !messageDigest.MatchString(event.Message) {
			return fmt.Errorf("it does not say what was signed")
		}
		s.made[index] = true
		return nil
	default:
		return fmt.Errorf("it decides nothing")
	}
}

// check checks that commits that are said to be signed were.
func (s *signatures) check(parsed *entry) error {
	for _, commit := range parsed.Event.Commits {
		if commit.Signature != nil && !s.made[*commit.Signature] {
			return fmt.Errorf("a commit's signature was not made before it")
		}
	}
	return nil
}
