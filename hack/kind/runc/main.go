// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command runc stands before the runc of the machine, where dockerd may not hand out all that it wants to: some machines
// take CAP_SYS_RESOURCE away from everybody, and `docker run --privileged`, which kind needs, then fails. It takes what
// this process does not have itself out of a container's documents, and becomes the real runc.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// resource is what a lower oom_score_adj, and a limit above this process's own, needs.
const resource = "CAP_SYS_RESOURCE"

// capabilities returns the names of all capabilities, each at its number in capabilities(7).
func capabilities() []string {
	return strings.Fields(`CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
		NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE
		SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL
		SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE`)
}

// ours returns what this process could hand out, from the text of its /proc/self/status.
func ours(status string) (map[string]bool, error) {
	_, set, _ := strings.Cut(status, "CapBnd:")
	set, _, _ = strings.Cut(set, "\n")
	mask, err := strconv.ParseUint(strings.TrimSpace(set), 16, 64)
	if err != nil {
		return nil, fmt.Errorf("CapBnd of /proc/self/status: %w", err)
	}
	have := map[string]bool{}
	for number, name := range capabilities() {
		if mask&(1<<number) != 0 {
			have["CAP_"+name] = true
		}
	}
	return have, nil
}

// reduce takes out of a process of the OCI runtime specification what we could not give it.
func reduce(process map[string]any, have map[string]bool) {
	sets, _ := process["capabilities"].(map[string]any)
	for name, set := range sets {
		wanted, _ := set.([]any)
		sets[name] = slices.DeleteFunc(wanted, func(capability any) bool {
			name, _ := capability.(string)
			return !have[name]
		})
	}
	if have[resource] {
		return
	}
	if score, ok := process["oomScoreAdj"].(float64); ok && score < 0 {
		process["oomScoreAdj"] = 0
	}
	delete(process, "rlimits")
}

// edit reduces the process in a file: the file's own top, or the "process" of a bundle's config.json.
func edit(file string, top bool) error {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	have, err := ours(string(status))
	if err != nil {
		return err
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var document map[string]any
	if err := json.Unmarshal(content, &document); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	process := document
	if !top {
		process, _ = document["process"].(map[string]any)
	}
	reduce(process, have)
	if content, err = json.Marshal(document); err != nil {
		return err
	}
	return os.WriteFile(file, content, 0o600)
}

// document returns which file of runc's arguments describes the process that it will start; "": it starts none.
func document(args []string) (file string, top bool) {
	verb := slices.IndexFunc(args, func(arg string) bool { return arg == "create" || arg == "run" || arg == "exec" })
	if verb < 0 {
		return "", false
	}
	value := func(names ...string) string {
		for i, arg := range args {
			name, value, joined := strings.Cut(arg, "=")
			switch {
			case !slices.Contains(names, name):
			case joined:
				return value
			case i+1 < len(args):
				return args[i+1]
			}
		}
		return ""
	}
	if args[verb] == "exec" {
		return value("--process", "-p"), true
	}
	return filepath.Join(value("--bundle", "-b"), "config.json"), false
}

func run() error {
	if file, top := document(os.Args[1:]); file != "" {
		if err := edit(file, top); err != nil {
			return err
		}
	}
	real, err := exec.LookPath("runc")
	if err != nil {
		return err
	}
	return syscall.Exec(real, append([]string{real}, os.Args[1:]...), os.Environ())
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "hack/kind/runc:", err)
		os.Exit(1)
	}
}
