package config

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzLoad(f *testing.F) {
	for _, s := range []string{"", example, "a: &a [*a]\n", "x: &x {y: *x}", "jobs: &j {timeouts: *j}\n", "\xef\xbb\xbflisten: x\r\n", "? {a: b}\n: c\n",
		"tokens: [[[[", "jobs: {environment: {? [a] : {}}}", "<<: {listen: x}", "listen: |\n  a\n  b\n", "brake: {share: .nan}", "log:\n\tlevel: x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, list, err := Load(Options{Path: "reeve.yaml", Bytes: []byte(s), Environ: []string{"XDG_DATA_HOME=/data"}, Purpose: ForClient})
		if err != nil {
			t.Fatal(err)
		}
		lines := lineBreak.Split(s, -1)
		for _, d := range list {
			if d.Pos.Line > len(lines)+1 || d.Pos.File != "reeve.yaml" || !utf8.ValidString(d.Detail+d.Found) {
				t.Errorf("%+v", d)
			}
		}
		if !list.HasErrors() && (c.Jobs.Parallel < 0 || c.Brake.Share < 0 || c.Brake.Share > 1) {
			t.Errorf("taken: %+v", c)
		}
	})
}

func TestAliasesAreFollowedButNotWithoutEnd(t *testing.T) {
	t.Parallel()
	c, list := load(t, "jobs:\n  timeouts: {init: &t 7m, plan: *t, apply: *t}\n")
	if len(list) > 0 || c.Jobs.Timeouts != (Timeouts{Init: c.Jobs.Timeouts.Init, Plan: c.Jobs.Timeouts.Init, Apply: c.Jobs.Timeouts.Init}) || c.Jobs.Timeouts.Init.String() != "7m" {
		t.Errorf("%+v %v", c.Jobs.Timeouts, short(list))
	}
	bomb := "allowedHosts: &a [x,x,x,x,x,x,x,x,x,x]\nrepositories:\n"
	name := "a"
	for _, next := range []string{"b", "c", "d", "e", "f", "g"} {
		bomb += "- &" + next + " [*" + name + strings.Repeat(",*"+name, 9) + "]\n"
		name = next
	}
	if _, list := load(t, bomb); !list.HasErrors() {
		t.Error("an alias bomb was taken")
	}
}
