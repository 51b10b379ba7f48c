package main

import (
	"fmt"
	"strings"
)

// verifyCommit verifies that a commit came by a push that was allowed: by the receipts of its session's start and of
// the push, in one signed state of the log.
func verifyCommit(commit, path string, key *logKey) (string, error) {
	receipts, err := readReceipts(path, key)
	if err != nil {
		return "", err
	}
	if len(receipts) != 2 || *receipts[0].point != *receipts[1].point || receipts[0].index != 0 {
		return "", fmt.Errorf("it holds not the two entries that it needs, of one state of one log")
	}
	start, err := parseEntry(0, receipts[0].entry)
	if err != nil {
		return "", err
	}
	push, err := parseEntry(receipts[1].index, receipts[1].entry)
	if err != nil {
		return "", err
	}
	if start.Event.Kind != "session.start" || start.Event.Enforcement == "shadow" ||
		start.Event.Ruling.Ruling != "allow" || !strings.HasSuffix(receipts[0].point.origin, "/"+start.Session) {
		return "", fmt.Errorf("it holds no start of a session that was held to a policy")
	}
	if err := checkStart(start); err != nil {
		return "", err
	}
	if push.Session != start.Session || push.Human != start.Human || push.Agent != start.Agent {
		return "", fmt.Errorf("the push is not of the session")
	}
	if push.Event.Kind != "decision" || push.Event.Action != "push" || push.Event.Ruling.Ruling != "allow" {
		return "", fmt.Errorf("it holds no push that was allowed")
	}
	for _, brought := range push.Event.Brings.Commits {
		if brought == commit {
			return fmt.Sprintf("commit %s, by entry %d of %s, for %s", commit, *push.Seq, receipts[1].point.origin, push.Human), nil
		}
	}
	return "", fmt.Errorf("the push did not bring commit %s", commit)
}
