package pgtest_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/internal/tool/pgtest"
)

func TestTwoServersAreStrangersAndAskForThePassword(t *testing.T) {
	t.Parallel()
	a, b := pgtest.Start(t), pgtest.Start(t)
	a.Query("create table of_a (n int); insert into of_a values (1), (2)")
	if got := a.Query("select n, n * 2 from of_a order by n"); got != "1|2\n2|4" {
		t.Errorf("a holds %q", got)
	}
	if got := b.Query("select count(*) from pg_tables where tablename = 'of_a'"); got != "0" {
		t.Errorf("b knows a's table: %s", got)
	}
	if a.Port == b.Port || a.Password == b.Password || !strings.Contains(a.URL("postgres"), a.Password) {
		t.Errorf("a is %s, b is %s", a.URL("postgres"), b.URL("postgres"))
	}
	if psql, err := exec.LookPath("psql"); err == nil {
		wrong := strings.Replace(a.URL("postgres"), a.Password, b.Password, 1)
		if out, err := exec.Command(psql, "-X", "-c", "select 1", wrong).CombinedOutput(); err == nil {
			t.Errorf("another password was taken:\n%s", out)
		}
	}
}
