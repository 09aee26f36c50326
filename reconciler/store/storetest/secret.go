package storetest

import (
	"errors"
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
)

// Canary is a secret that the suite tries to record. It must be found nowhere.
const Canary = "canary-7f3a9c"

var secretTests = []namedTest{
	{"ASensitiveOutputInClearIsRefused", func(t *testing.T, s *subject) {
		j := s.applying(s.enqueued("net", "1").ID)
		for name, out := range map[string]stackjob.Output{
			"clear":            {Name: "key", Sensitive: true, Value: []byte(`"` + Canary + `"`)},
			"clear and sealed": {Name: "key", Sensitive: true, Value: []byte(`"` + Canary + `"`), Sealed: []byte("x")},
			"neither":          {Name: "key", Sensitive: true},
		} {
			o := s.observed(j)
			o.Outputs = append(o.Outputs, out)
			s.refused(name, j, stackjob.Applied(s.now, lease(j), stackjob.Outcome{Result: stackjob.ResultSucceeded}, o))
		}
		s.equal("job", s.get(j.ID), j)
	}},
	{"ASensitiveAttributeInClearIsRefused", func(t *testing.T, s *subject) {
		j := s.planning(s.enqueued("net", "1").ID)
		secret := []byte(`"` + Canary + `"`)
		for name, a := range map[string]stackjob.AttributeChange{
			"before":  {Path: "p", Sensitive: true, Before: secret},
			"after":   {Path: "p", Sensitive: true, Before: []byte(`"hmac:1"`), After: secret},
			"object":  {Path: "p", Sensitive: true, After: []byte(`{"hmac:":"` + Canary + `"}`)},
			"number":  {Path: "p", Sensitive: true, After: []byte(`4711`)},
			"garbage": {Path: "p", Sensitive: true, After: []byte(Canary)},
		} {
			for place, put := range map[string]func(*stackjob.Plan){
				"resource": func(p *stackjob.Plan) { p.Resources[0].Attributes = []stackjob.AttributeChange{a} },
				"drift":    func(p *stackjob.Plan) { p.Drift[0].Attributes = []stackjob.AttributeChange{a} },
				"output":   func(p *stackjob.Plan) { p.Outputs[0].AttributeChange = a },
			} {
				p := s.plan("a")
				put(&p)
				s.refused(name+" in "+place, j, stackjob.Planned(s.now, lease(j), p, proceed()))
			}
		}
		s.equal("job", s.get(j.ID), j)
	}},
	{"AJobWithAClearPlanIsRefused", func(t *testing.T, s *subject) {
		j := s.job("net", "1")
		p := s.plan("a")
		p.Resources[0].Attributes = []stackjob.AttributeChange{{Path: "p", Sensitive: true, After: []byte(`"` + Canary + `"`)}}
		j.Plan = &p
		if _, err := s.Enqueue(s.ctx(), store.Enqueue{Jobs: []stackjob.Job{j}}); !errors.Is(err, store.ErrClearSecret) {
			t.Errorf("got %v", err)
		}
	}},
}

func (s *subject) refused(name string, j stackjob.Job, m stackjob.Move) {
	s.t.Helper()
	_, err := s.Move(s.ctx(), j.ID, m)
	if !errors.Is(err, store.ErrClearSecret) {
		s.t.Errorf("%s: got %v", name, err)
		return
	}
	if strings.Contains(err.Error(), Canary) {
		s.t.Errorf("%s: the error tells the secret", name)
	}
}
