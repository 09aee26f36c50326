//go:build !linux

package app_test

import "errors"

func mountSmall(string, int) error { return errors.New("only Linux has disks in memory") }

func unmount(string) error { return nil }
