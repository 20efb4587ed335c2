// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"context"
	"fmt"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	quietTime  = 200 * time.Millisecond // an editor's save, a ConfigMap's swap and a git pull are several events each
	rescanTime = 30 * time.Second
)

// Follow calls changed with what is below dir now, and again each time that the content has changed; never twice at
// once. It returns nil when ctx ends, or an error when dir can't be read at the start.
//
// While dir can't be read later on, changed gets the last Set and one Problem whose File is ".". Changes are noticed
// within a second; those that the kernel does not tell of (a network file system, a dir that is a link to elsewhere,
// no inotify instances left) within half a minute.
func (v *Validator) Follow(ctx context.Context, dir string, changed func(Set, []Problem)) error {
	var watch notifications
	if watcher, err := fsnotify.NewWatcher(); err == nil {
		defer func() { _ = watcher.Close() }()
		watch = notifications{watcher.Events, watcher.Errors, watcher}
	}

	var set Set
	var last digest
	report := func(files []file, err error) {
		if err != nil {
			files = []file{{name: ".", fault: cause(err)}}
		}
		now := digestOf(files)
		if now == last {
			return
		}
		last = now
		if err != nil {
			changed(set, []Problem{{File: ".", Message: cause(err)}})
			return
		}
		var problems []Problem
		set, problems = v.judge(ctx, files)
		changed(set, problems)
	}

	// Each folder is watched before it is read: a change in between makes one scan too many, never one too few.
	files, err := readFiles(dir, watch.add)
	if err != nil {
		return fmt.Errorf("read manifests: %w", err)
	}
	report(files, nil)

	rescan := time.NewTicker(rescanTime)
	defer rescan.Stop()
	var quiet <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-watch.events:
			quiet = time.After(quietTime)
		case <-watch.errors: //nolint:errcheck // whatever it is, events were lost
			quiet = time.After(quietTime)
		case <-quiet:
			quiet = nil
			report(readFiles(dir, watch.add))
		case <-rescan.C:
			report(readFiles(dir, watch.add))
		}
	}
}

// notifications are the kernel's; the zero value never tells anything.
type notifications struct {
	events  <-chan fsnotify.Event
	errors  <-chan error
	watcher *fsnotify.Watcher
}

// add watches a folder, if that is possible: what it misses, the next rescan finds.
func (n notifications) add(folder string) {
	if n.watcher != nil {
		_ = n.watcher.Add(folder)
	}
}
