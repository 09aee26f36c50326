//go:build !linux

package app_test

import "errors"

func mountSmall(string, int) error { return errors.New("only Linux has disks in memory") }

func unmount(string) error { return nil }

func limitFiles(int, uint64) (func() error, error) {
	return nil, errors.New("only Linux limits another process")
}
