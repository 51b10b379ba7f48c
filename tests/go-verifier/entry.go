package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
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
		Kind string `json:"kind"`
		Of   *int64 `json:"of"`
		Text string `json:"text"`
		// Of an erasure: the log whose texts they were, and from which entry to which.
		Log     string          `json:"log"`
		Entries [][2]int64      `json:"entries"`
		Reason  string          `json:"reason"`
		Agent   json.RawMessage `json:"agent"`
		Human   json.RawMessage `json:"human"`
		// What the profile turned off of the agent's own protection, and why.
		SwitchedOff []struct {
			ID     string `json:"id"`
			Reason string `json:"reason"`
		} `json:"switched_off"`
		// The agent's, over the session's start.
		Signature string `json:"signature"`
		Ruling    struct {
			Ruling string `json:"ruling"`
			Asked  bool   `json:"asked"`
			Rule   struct {
				ID string `json:"id"`
			} `json:"rule"`
			// How the question to a human ended, where there was one.
			Approval *approval `json:"approval"`
		} `json:"ruling"`
		// Of a question to a human: the kind of action, and the rule that asks.
		ID     string `json:"id"`
		Until  string `json:"until"`
		Action string `json:"action"`
		Rule   struct {
			ID string `json:"id"`
		} `json:"rule"`
		// Of a signature for git: the agent's key, and what was signed.
		Key     string `json:"key"`
		Message string `json:"message"`
		// Of refs that moved: the entries by which commits that appeared were signed.
		Commits []struct {
			Signature *int64 `json:"signature"`
		} `json:"commits"`
		// Of a push: the commits that came with it.
		Brings struct {
			Commits []string `json:"commits"`
		} `json:"brings"`
		// Of a session's start: the policies that decide, and what is required of who says yes.
		Policy          []policy `json:"policy"`
		RequireApproval string   `json:"require_approval"`
		// Of a session's start: "shadow" where only the deny-list is enforced.
		Enforcement string `json:"enforcement"`
		Outcome     struct {
			Result string `json:"result"`
		} `json:"outcome"`
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

// checkEntries checks what entries mean together, and counts the texts that were erased.
func checkEntries(directory string, point *checkpoint, entries [][]byte) (int, error) {
	texts, err := readTexts(directory, point.origin)
	if err != nil {
		return 0, err
	}
	erased := 0
	parts := strings.SplitN(point.origin, "/", 3)
	decided := map[int64]string{}
	signatures := signatures{}
	questions := questions{asked: map[int64]*question{}}
	shadow := false
	for place, data := range entries {
		index := int64(place)
		parsed, err := parseEntry(index, data)
		if err != nil {
			return 0, err
		}
		if len(parts) == 3 && parsed.Session != parts[2] {
			return 0, fmt.Errorf("entry %d: it is of another session", index)
		}
		event := parsed.Event
		if len(parts) == 3 && (index == 0) != (event.Kind == "session.start") {
			return 0, fmt.Errorf("entry %d: a session starts once, at its beginning", index)
		}
		switch event.Kind {
		case "session.start":
			shadow = event.Enforcement == "shadow"
			questions.policies, questions.required = event.Policy, event.RequireApproval
			err = checkStart(parsed)
			if err == nil {
				err = signatures.begin(event.Agent)
			}
		case "decision":
			decided[index] = event.Ruling.Ruling
			err = checkRuling(event.Ruling.Ruling, shadow)
			if err == nil && event.Ruling.Approval != nil {
				err = questions.check(parsed)
			}
		case "question":
			questions.asked[index] = &question{
				id: event.ID, action: event.Action, rule: event.Rule.ID, until: event.Until, text: event.Text,
			}
		case "signature":
			if event.Ruling.Ruling == "deny" {
				decided[index] = "deny"
			}
			err = signatures.see(index, parsed)
		case "refs":
			err = signatures.check(parsed)
		case "erasure":
			err = checkErasure(point.origin, parsed)
		case "outcome", "repeat":
			if event.Of == nil || decided[*event.Of] == "" || *event.Of >= index {
				err = fmt.Errorf("it belongs to no decision before it")
			} else if event.Kind == "repeat" && decided[*event.Of] != "deny" {
				err = fmt.Errorf("what it repeats was not refused")
			} else if decided[*event.Of] == "deny" && event.Outcome.Result == "started" {
				err = fmt.Errorf("what was refused started")
			}
		}
		if err == nil && event.Text != "" {
			var isErased bool
			isErased, err = texts.check(index, event.Text)
			if isErased {
				erased++
			}
		}
		if err != nil {
			return 0, fmt.Errorf("entry %d: %v", index, err)
		}
	}
	return erased, nil
}

// checkRuling checks that something was decided, and that what a rule refuses is let be in a shadow only.
func checkRuling(ruling string, shadow bool) error {
	switch {
	case ruling == "allow", ruling == "deny", ruling == "unenforced" && shadow:
		return nil
	case ruling == "unenforced":
		return fmt.Errorf("it lets be what a rule refuses, and the session is no shadow")
	default:
		return fmt.Errorf("it decides nothing")
	}
}

// checkErasure checks what the anchor log says of texts that were erased.
func checkErasure(origin string, parsed *entry) error {
	if !strings.HasPrefix(parsed.Event.Log, origin+"/") {
		return fmt.Errorf("it erases texts of no log of this installation")
	}
	next := int64(0)
	for _, span := range parsed.Event.Entries {
		if span[0] < next || span[1] < span[0] {
			return fmt.Errorf("what it erased is not in order")
		}
		next = span[1] + 1
	}
	if next == 0 || parsed.Human == "" || parsed.Event.Reason == "" {
		return fmt.Errorf("it does not say what was erased, who asked for it and why")
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
	if ruling := start.Event.Ruling.Ruling; ruling != "allow" && ruling != "deny" {
		return fmt.Errorf("a rule refused the session, and it began")
	}
	if human.ID != start.Human {
		return fmt.Errorf("it names two humans")
	}
	for _, rule := range start.Event.SwitchedOff {
		if rule.ID == "" || rule.Reason == "" {
			return fmt.Errorf("it says that something is off, and not what or why")
		}
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
