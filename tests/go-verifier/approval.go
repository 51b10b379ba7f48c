package main

import "fmt"

// approval is how a question to a human ended, in the ruling that came of it.
type approval struct {
	Question int64  `json:"question"`
	Answer   string `json:"answer"`
	By       *struct {
		ID string `json:"id"`
	} `json:"by"`
}

// question is a question to a human, and whether its approval was used.
type question struct {
	action, rule string
	used         bool
}

// questions are those of a log, by their places in it.
type questions map[int64]*question

// check checks a decision that names a question.
func (all questions) check(parsed *entry) error {
	ruling := parsed.Event.Ruling
	asked := all[ruling.Approval.Question]
	if asked == nil {
		return fmt.Errorf("it names a question that was not asked before it")
	}
	if asked.action != parsed.Event.Action || asked.rule != ruling.Rule.ID {
		return fmt.Errorf("the question that it names was about something else")
	}
	answer := ruling.Approval.Answer
	switch answer {
	case "approved", "denied":
		if ruling.Approval.By == nil || ruling.Approval.By.ID == "" {
			return fmt.Errorf("it does not say who answered")
		}
	case "expired", "withdrawn", "void":
		if ruling.Approval.By != nil {
			return fmt.Errorf("nobody answered, and it says who")
		}
	default:
		return fmt.Errorf("it does not say how its question ended")
	}
	switch {
	case ruling.Ruling == "allow" && answer != "approved":
		return fmt.Errorf("it was allowed, and no human said yes")
	case ruling.Ruling == "allow" && asked.used:
		return fmt.Errorf("one approval allowed it twice")
	case ruling.Ruling != "allow" && (ruling.Ruling != "deny" || !ruling.Asked || answer == "approved"):
		return fmt.Errorf("it does not fit the answer to its question")
	}
	asked.used = asked.used || ruling.Ruling == "allow"
	return nil
}
