package main

import "fmt"

// approval is how a question to a human ended, in the ruling that came of it.
type approval struct {
	Question int64  `json:"question"`
	Answer   string `json:"answer"`
	By       *struct {
		ID       string `json:"id"`
		Evidence string `json:"evidence"`
	} `json:"by"`
	Reason *string `json:"reason"`
	Signed *struct {
		Question string `json:"question"`
		SSHSig   string `json:"sshsig"`
	} `json:"signed"`
}

// question is a question to a human, and whether its approval was used.
type question struct {
	id, action, rule, until, text string
	used                          bool
}

// policy is one of those that decide in a session.
type policy struct {
	Tier   string `json:"tier"`
	Digest string `json:"digest"`
}

// questions are those of a log, by their places in it.
type questions struct {
	asked map[int64]*question
	// Of the session's start: what decides, and what is required of who says yes.
	policies []policy
	required string
}

// strength is how well it is known who somebody is.
var strength = map[string]int{"": 0, "none": 0, "asserted": 1, "event": 2, "oidc": 3, "signed": 4}

// check checks a decision that names a question.
func (all *questions) check(parsed *entry) error {
	ruling := parsed.Event.Ruling
	asked := all.asked[ruling.Approval.Question]
	if asked == nil {
		return fmt.Errorf("it names a question that was not asked before it")
	}
	if asked.action != parsed.Event.Action || asked.text != parsed.Event.Text || asked.rule != ruling.Rule.ID {
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
	if err := all.checkSignature(asked, parsed); err != nil {
		return err
	}
	switch {
	case ruling.Ruling == "allow" && answer != "approved":
		return fmt.Errorf("it was allowed, and no human said yes")
	case ruling.Ruling == "allow" && parsed.Time > asked.until:
		return fmt.Errorf("it was allowed after the time for an answer was over")
	case ruling.Ruling == "allow" && strength[ruling.Approval.By.Evidence] < strength[all.required]:
		return fmt.Errorf("it was allowed, and the yes was not signed as policy requires")
	case ruling.Ruling == "allow" && asked.used:
		return fmt.Errorf("one approval allowed it twice")
	case ruling.Ruling != "allow" && (ruling.Ruling != "deny" || !ruling.Asked || answer == "approved"):
		return fmt.Errorf("it does not fit the answer to its question")
	}
	asked.used = asked.used || ruling.Ruling == "allow"
	return nil
}

// checkSignature checks that who is said to have signed did, and exactly this answer to this question.
func (all *questions) checkSignature(asked *question, parsed *entry) error {
	given := parsed.Event.Ruling.Approval
	said := given.By != nil && given.By.Evidence == "signed"
	if given.Signed == nil || !said {
		if said || given.Signed != nil {
			return fmt.Errorf("it says that a human signed, and there is no signature, or the other way round")
		}
		return nil
	}
	statement := fmt.Sprintf("agentguard approval v1\n%s\nsession %s\nagent %s\n",
		asked.id, parsed.Session, parsed.Agent)
	for _, one := range all.policies {
		statement += fmt.Sprintf("policy %s %s\n", one.Tier, one.Digest)
	}
	reason := "none"
	if given.Reason != nil {
		reason = digest([]byte(*given.Reason))
	}
	statement += fmt.Sprintf("action %s\ntext %s\nrule %s\nentry %d\nuntil %s\nquestion %s\n",
		asked.action, asked.text, asked.rule, given.Question, asked.until, given.Signed.Question)
	statement += fmt.Sprintf("answer %s\nreason %s\nhuman %s\n", given.Answer, reason, parsed.Human)
	if err := verifySSHSig(given.Signed.SSHSig, "agentguard-approval", []byte(statement)); err != nil {
		return fmt.Errorf("no human signed this answer to this question: %v", err)
	}
	return nil
}
