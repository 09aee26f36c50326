package telling

import (
	"regexp"
	"strings"
)

// FirstUses is how often a database is tried to be set up before it counts as broken: of
// those that meet in it, one wins each time.
const FirstUses = 5

// FirstUseAgain says to people why what failed is run again.
const FirstUseAgain = "Another stack set up the database in the same moment: it is tried again."

// wasMade is PostgreSQL's answer when the other one was done before the engine's own
// look, and after the look of "if not exists". The words are in the language of the
// server; newer engines write the code of the error behind them (duplicate table, schema
// and object: https://www.postgresql.org/docs/current/errcodes-appendix.html).
var wasMade = regexp.MustCompile(`(relation|schema|type) "[^"]+" already exists|\((42P07|42P06|42710)\)`)

// IsFirstUse tells whether an engine failed because another one made the same schema,
// sequence, table or index of a PostgreSQL database in the same moment, which all
// engines do in a database that has none: PostgreSQL lets only one of them, whatever "if
// not exists" says. said may be wrapped and framed.
func IsFirstUse(said string) bool {
	said = Unframed(said)
	// The catalogue's own indexes are named in every language of a server.
	for _, sign := range []string{"pg_class_relname_nsp_index", "pg_namespace_nspname_index", "pg_type_typname_nsp_index", "tuple concurrently updated"} {
		if strings.Contains(said, sign) {
			return true
		}
	}
	return wasMade.MatchString(said)
}
