package module

// OnFound has f called when a checkout was found or made, before it is handed out.
func OnFound(m *Modules, f func()) { m.found = f }
