package schema

import (
	"slices"
	"strconv"
)

// work is a JSON Schema seen as work: which subschemas are held against a value itself,
// and which against its parts. A few lines of alternatives that repeat at every level
// make a validator look at a value a billion times; how often can be counted without
// doing it, because each pair of subschema and value needs counting only once.
type work struct {
	inPlace []*work
	props   map[string]*work
	// entries are held against every value of a map, items against every item of a list,
	// prefix against the first ones.
	entries, items, prefix []*work
	// types are the types that the schema takes; a value of another ends the work. None
	// means any.
	types []string
}

// worker reads the work of one schema document.
type worker struct {
	sh   *shaper
	seen map[string]*work
	// cyclic says that the schema refers to a part that it stands in.
	cyclic bool
	open   map[string]bool
}

// bombLimit is how many subschemas a schema without recursion may amount to before
// documents are counted one by one.
const bombLimit = 10_000

// workOf reads a schema's work; nil when no document can make it explode.
func workOf(schema any) *work {
	w := &worker{sh: &shaper{root: schema}, seen: map[string]*work{}, open: map[string]bool{}}
	root := w.at("", schema)
	if !w.cyclic && root.size(map[*work]int{}) <= bombLimit {
		return nil
	}
	return root
}

func (w *worker) at(pointer string, schema any) *work {
	if k, ok := w.seen[pointer]; ok {
		w.cyclic = w.cyclic || w.open[pointer]
		return k
	}
	k := &work{}
	w.seen[pointer] = k
	m, ok := schema.(map[string]any)
	if !ok {
		return k
	}
	w.open[pointer] = true
	defer delete(w.open, pointer)
	for _, key := range sortedKeys(m) {
		w.keyword(k, pointer+"/"+escapePointer(key), key, m[key])
	}
	return k
}

// keyword adds what one keyword makes a validator do.
func (w *worker) keyword(k *work, pointer, key string, v any) {
	list := func(to *[]*work) {
		switch v := v.(type) {
		case []any:
			for i, e := range v {
				*to = append(*to, w.at(pointer+"/"+strconv.Itoa(i), e))
			}
		case map[string]any:
			for _, name := range sortedKeys(v) {
				*to = append(*to, w.at(pointer+"/"+escapePointer(name), v[name]))
			}
		}
	}
	switch key {
	case "$ref", "$dynamicRef", "$recursiveRef":
		ref, _ := v.(string)
		if target, ptr, ok := w.sh.lookup(ref); ok {
			k.inPlace = append(k.inPlace, w.at(ptr, target))
			return
		}
		// Where an anchor leads is not worked out: the whole schema is the worst it can be.
		w.cyclic = true
		k.inPlace = append(k.inPlace, w.at("", w.sh.root))
	case "allOf", "anyOf", "oneOf", "dependentSchemas", "dependencies":
		list(&k.inPlace)
	case "not", "if", "then", "else":
		k.inPlace = append(k.inPlace, w.at(pointer, v))
	case "properties":
		if props, ok := v.(map[string]any); ok {
			k.props = make(map[string]*work, len(props))
			for _, name := range sortedKeys(props) {
				k.props[name] = w.at(pointer+"/"+escapePointer(name), props[name])
			}
		}
	case "patternProperties":
		list(&k.entries)
	case "prefixItems":
		list(&k.prefix)
	case "items":
		if _, several := v.([]any); several {
			list(&k.prefix)
			return
		}
		k.items = append(k.items, w.at(pointer, v))
	case "additionalItems", "unevaluatedItems", "contains":
		k.items = append(k.items, w.at(pointer, v))
	case "additionalProperties", "unevaluatedProperties", "propertyNames":
		k.entries = append(k.entries, w.at(pointer, v))
	case "type":
		switch t := v.(type) {
		case string:
			k.types = []string{t}
		case []any:
			for _, e := range t {
				if s, ok := e.(string); ok {
					k.types = append(k.types, s)
				}
			}
		}
	}
}

const tooMuch = 1 << 40

// size is how many subschemas the schema amounts to with all references followed.
func (k *work) size(memo map[*work]int) int {
	if n, ok := memo[k]; ok {
		return n
	}
	memo[k] = 0
	n := 1
	for _, l := range [][]*work{k.inPlace, k.entries, k.items, k.prefix} {
		for _, c := range l {
			n = min(n+c.size(memo), tooMuch)
		}
	}
	for _, c := range k.props {
		n = min(n+c.size(memo), tooMuch)
	}
	memo[k] = n
	return n
}

type workOn struct {
	work *work
	val  *value
}

// cost is how often a validator holds a subschema against a value, at most.
func (k *work) cost(v *value, memo map[workOn]int) int {
	pair := workOn{k, v}
	if n, ok := memo[pair]; ok {
		return n
	}
	n := 1
	memo[pair] = n // a circle without progress: the validator stops there itself
	if !k.takes(v.kind) {
		return n
	}
	for _, c := range k.inPlace {
		n = min(n+c.cost(v, memo), tooMuch)
	}
	for i := range v.fields {
		f := &v.fields[i]
		if c, ok := k.props[f.key]; ok && v.kind == mapValue {
			n = min(n+c.cost(&f.val, memo), tooMuch)
		}
		every := k.entries
		if v.kind == listValue {
			every = k.items
			if i < len(k.prefix) {
				n = min(n+k.prefix[i].cost(&f.val, memo), tooMuch)
			}
		}
		for _, c := range every {
			n = min(n+c.cost(&f.val, memo), tooMuch)
		}
	}
	memo[pair] = n
	return n
}

// takes tells whether a value of a kind gets past the schema's type.
func (k *work) takes(kind valueKind) bool {
	if len(k.types) == 0 {
		return true
	}
	names := [...][]string{{"null"}, {"boolean"}, {"number", "integer"}, {"string"}, {"array"}, {"object"}}[kind]
	return slices.ContainsFunc(names, func(n string) bool { return slices.Contains(k.types, n) })
}

// nodes counts a value's parts and itself.
func (v *value) nodes() int {
	n := 1
	for i := range v.fields {
		n += v.fields[i].val.nodes()
	}
	return n
}

// isBomb tells whether validating a document would take out of all proportion.
func (s *specSchema) isBomb(v *value) bool {
	const steps, stepsPerNode = 10_000, 100
	return s.work != nil && s.work.cost(v, map[workOn]int{}) > steps+stepsPerNode*v.nodes()
}
