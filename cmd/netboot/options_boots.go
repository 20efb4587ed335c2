// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/netboot-operator/netboot-operator/controllers"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// The values of --unknown-machines.
const (
	unknownIgnore   = "Ignore"
	unknownRegister = "Register"
	unknownDefault  = "DefaultProfile" // and =NAMESPACE/NAME
)

const (
	defaultBootQuiet    = time.Minute
	defaultInstallQuiet = 10 * time.Minute
	minQuiet            = time.Second
	maxBootQuiet        = time.Hour
	maxInstallQuiet     = 24 * time.Hour
	defaultStatusWrites = 20
	maxStatusWrites     = 1000
)

// bootOptions are the flags about boots: who may boot, when one has stopped, and how fast that is told.
type bootOptions struct {
	unknownMachines       string
	registerNamespace     string
	maxDiscovered         int
	quiet                 time.Duration
	installQuiet          time.Duration
	statusWritesPerSecond int

	defaultProfile index.Key // that of DefaultProfile=; empty: none
}

func (o *bootOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.unknownMachines, "unknown-machines", unknownIgnore,
		"`POLICY` for machines without an object: Ignore refuses them at once, Register also makes a Machine that is not armed, "+
			"DefaultProfile=NAMESPACE/NAME boots them")
	flags.StringVar(&o.registerNamespace, "register-namespace", "",
		"`NAMESPACE` of the Machines that --unknown-machines=Register makes (default: --namespace, or that of this pod)")
	flags.IntVar(&o.maxDiscovered, "max-discovered", controllers.DefaultMaxDiscovered,
		"`COUNT` of Machines that --unknown-machines=Register made and nobody has enrolled; beyond it none is made")
	flags.DurationVar(&o.quiet, "boot-quiet", defaultBootQuiet, "`TIME` that a boot may be silent before it is called stopped")
	flags.DurationVar(&o.installQuiet, "install-quiet", defaultInstallQuiet,
		"the same `TIME` while a machine starts its kernel, until that fetches a config or calls back")
	flags.IntVar(&o.statusWritesPerSecond, "status-writes-per-second", defaultStatusWrites,
		"`COUNT` of times in a second that this process writes what became of boots into the status of Machines")
}

// complete refuses what can't be used.
func (o *bootOptions) complete(standalone bool, namespace string) error {
	if err := o.completeUnknown(standalone, namespace); err != nil {
		return err
	}
	for _, wait := range []struct {
		flag  string
		value time.Duration
		most  time.Duration
	}{
		{"boot-quiet", o.quiet, maxBootQuiet}, {"install-quiet", o.installQuiet, maxInstallQuiet},
	} {
		if wait.value < minQuiet || wait.value > wait.most {
			return usagef("--%s=%v: outside %v-%v", wait.flag, wait.value, minQuiet, wait.most)
		}
	}
	for _, count := range []struct {
		flag        string
		value, most int
	}{
		{"max-discovered", o.maxDiscovered, controllers.MaxMaxDiscovered}, {"status-writes-per-second", o.statusWritesPerSecond, maxStatusWrites},
	} {
		if count.value < 1 || count.value > count.most {
			return usagef("--%s=%d: outside 1-%d", count.flag, count.value, count.most)
		}
	}
	return nil
}

// completeUnknown reads --unknown-machines, and what depends on it.
func (o *bootOptions) completeUnknown(standalone bool, namespace string) error {
	policy, profile, named := strings.Cut(o.unknownMachines, "=")
	switch {
	case policy == unknownDefault:
		space, name, _ := strings.Cut(profile, "/")
		if len(validation.IsDNS1123Label(space)) > 0 || len(validation.IsDNS1123Subdomain(name)) > 0 {
			return usagef("--unknown-machines=%s: must be DefaultProfile=NAMESPACE/NAME of a BootProfile", o.unknownMachines)
		}
		if namespace != "" && namespace != space {
			return usagef("--unknown-machines=%s: only --namespace=%s is watched; name a BootProfile there", o.unknownMachines, namespace)
		}
		o.defaultProfile = index.Key(profile)
	case named || policy != unknownIgnore && policy != unknownRegister:
		return usagef("--unknown-machines=%s: must be Ignore, Register or DefaultProfile=NAMESPACE/NAME", o.unknownMachines)
	case policy == unknownRegister && standalone:
		return usagef("--unknown-machines=Register: needs an API server to make Machines in; with --manifests, write them into the folder")
	}
	switch {
	case o.registerNamespace == "":
		if o.registers() {
			o.registerNamespace = namespace // empty: that of this pod
		}
		return nil
	case !o.registers():
		return usagef("--register-namespace=%s: is for --unknown-machines=Register", o.registerNamespace)
	case len(validation.IsDNS1123Label(o.registerNamespace)) > 0:
		return usagef("--register-namespace=%s: must be the name of a namespace", o.registerNamespace)
	case namespace != "" && namespace != o.registerNamespace:
		return usagef("--register-namespace=%s: only --namespace=%s is watched", o.registerNamespace, namespace)
	}
	return nil
}

// registers says whether machines that are not known become objects.
func (o *bootOptions) registers() bool { return o.unknownMachines == unknownRegister }
