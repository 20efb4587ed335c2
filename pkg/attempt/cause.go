// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package attempt

// CauseID names a cause. The values are part of the API: status.lastBoot.cause, metrics and alerts have them.
type CauseID string

// The causes. Causes tells what each means.
const (
	CauseUnknown CauseID = "Unknown"

	CauseAnswersLost      CauseID = "AnswersLost"
	CausePathMTU          CauseID = "PathMTU"
	CauseTransferBrokeOff CauseID = "TransferBrokeOff"
	CauseOutOfMemory      CauseID = "OutOfMemory"

	CauseLoaderMissing     CauseID = "LoaderMissing"
	CauseWrongFirmware     CauseID = "WrongFirmware"
	CauseWrongArchitecture CauseID = "WrongArchitecture"
	CauseLoaderSilent      CauseID = "LoaderSilent"
	CauseChainLoad         CauseID = "ChainLoadLoop"

	CauseUnknownMachine      CauseID = "UnknownMachine"
	CauseConfigNeverAsked    CauseID = "ConfigNeverAsked"
	CauseProfileNotUsable    CauseID = "ProfileNotUsable"
	CauseProfileArchitecture CauseID = "ProfileLacksArchitecture"
	CauseRender              CauseID = "ConfigDoesNotRender"

	CauseUpstream CauseID = "ArtifactUnavailable"
	CauseDigest   CauseID = "DigestMismatch"
	CauseStorage  CauseID = "StorageFailed"

	CauseKernelNeverAsked   CauseID = "KernelNeverAsked"
	CausePayloadIncomplete  CauseID = "PayloadIncomplete"
	CauseConfigNeverFetched CauseID = "InstallerSilent"
	CauseNeverCompleted     CauseID = "NeverCompleted"
	CauseInstallerFailed    CauseID = "InstallerFailed"
	CauseTokenMissing       CauseID = "TokenMissing"
	CauseTokenWrong         CauseID = "TokenWrong"
	CauseTokenExpired       CauseID = "TokenExpired"
	CauseServerNotReady     CauseID = "ServerNotReady"
	CauseServerStopped      CauseID = "ServerStopped"
	CauseServerFault        CauseID = "ServerFault"
	CauseLoop               CauseID = "BootLoop"
	CauseHeld               CauseID = "HeldBootLoop"
)

// A Cause is what there is to say of all boots that have it.
type Cause struct {
	ID       CauseID
	Title    string // a few words
	Means    string // what is wrong, and what it is told from
	WhatToDo string
}

// Explain returns what there is to say of a cause; of one that is none, that it is not known.
func Explain(id CauseID) Cause {
	all := Causes()
	for _, c := range all {
		if c.ID == id {
			return c
		}
	}
	return all[len(all)-1]
}

// Causes returns all causes, in the order in which a boot meets them.
func Causes() []Cause {
	return []Cause{
		{CauseAnswersLost, "No answer reaches the machine",
			"The machine repeats its TFTP request and acknowledges nothing: our answers do not arrive. They come from another UDP port than 69 " +
				"(RFC 1350), which a NAT, a firewall or a Service in between may drop, or there is no route back.",
			"Let UDP through between the machine and all ports of the server, not only 69. Run the server in the host's network, without a Service " +
				"or a load balancer before TFTP. Try `kubectl netboot probe` and a capture on the server and beside the machine."},
		{CausePathMTU, "Large packets do not arrive",
			"The machine answers small packets, and never acknowledges the first full block: packets of that size are lost on the way. The path has a " +
				"smaller MTU than the block size needs, or a firewall drops fragments.",
			"Raise the MTU of the path (tunnels and VLANs cost some bytes), or lower the server's limit of the block size."},
		{CauseTransferBrokeOff, "A transfer stopped in the middle",
			"The machine received a part of a file and then acknowledged nothing more, although it was sent again. The network between lost its " +
				"packets, or the machine was switched off, was reset or hangs.",
			"Look at the machine's console. If it still runs, look for loss on the way: retransmits in other transfers, a bad cable or port. If " +
				"it stops at the same place each time, give the machine more memory: some loaders hang where they have no room."},
		{CauseOutOfMemory, "The machine has too little memory for a file",
			"The loader itself ended the transfer of a kernel or initrd: it said that memory is short, or did so at the same place twice. Or it " +
				"asked for the size of the initrd and fetched the kernel again instead, more than once, as PXELINUX does.",
			"Give the machine more memory, or use a smaller initrd. With GRUB and iPXE by HTTP less is needed than by TFTP in some firmwares."},
		{CauseLoaderMissing, "There is no such boot program",
			"The firmware, or a loader, asks for a file that this server does not have, and cannot go on without it.",
			"Correct the file name in the DHCP server's answer, or put the file into the folder of loaders or into the profile's files."},
		{CauseWrongFirmware, "The boot program is for another firmware",
			"A program for BIOS was delivered to a machine with UEFI, or the other way round, and nothing was heard since.",
			"Let the DHCP server choose the file name by the client's architecture (option 93): docs/dhcp.md has the settings."},
		{CauseWrongArchitecture, "The boot program is for another CPU",
			"The boot program was delivered whole, nothing was heard since, and it is made for another architecture than the machine's.",
			"Let the DHCP server choose the file name by the client's architecture (option 93), and check spec.architecture of the Machine."},
		{CauseLoaderSilent, "The boot program does not start",
			"The boot program was delivered whole, and nothing was heard since. It is made for another architecture, or Secure Boot refuses it, or " +
				"it finds no network card. What was seen does not tell which.",
			"Look at the machine's console. Set spec.architecture of the Machine, so that the architectures can be compared. With Secure Boot, " +
				"let DHCP name a shim that the firmware trusts, which starts the loader beside it."},
		{CauseChainLoad, "iPXE loads itself over and over",
			"The firmware was given iPXE, which started, and then asked for the same program again instead of a script: DHCP gives iPXE the same answer " +
				"as the firmware.",
			"Let the DHCP server answer clients of user class iPXE (option 77, or option 175) with the URL of the script: docs/dhcp.md has the settings."},
		{CauseUnknownMachine, "No Machine has this MAC address",
			"The loader asks for its configuration by an identity that no Machine has.",
			"Create a Machine with this address, or correct the one that is nearest to it."},
		{CauseConfigNeverAsked, "The loader never asks for the machine's configuration",
			"The loader got the script that tells it where to ask, and never came: where it is sent to can't be reached from the machine.",
			"Check that the machine reaches the server's HTTP port, and --advertise-address."},
		{CauseProfileNotUsable, "The profile is missing or not accepted",
			"The Machine is known, and the BootProfile that it names does not exist or is not accepted.",
			"See the conditions ProfileResolved and Accepted of the Machine and of its BootProfile."},
		{CauseProfileArchitecture, "The profile has nothing for this architecture",
			"The BootProfile has no platform of the machine's architecture.",
			"Add a platform to the BootProfile, or correct spec.architecture of the Machine."},
		{CauseRender, "The configuration does not render",
			"A template of the BootProfile or of the Machine has an error.",
			"See the condition Rendered of the Machine, and try `netboot render`."},
		{CauseUpstream, "A file can't be fetched",
			"What the BootProfile names can't be fetched from where it is.",
			"See the condition ArtifactsReady of the BootProfile; check the URL, the mirror and the network from the server."},
		{CauseDigest, "A file is not what its digest says",
			"What was fetched has another SHA-256 than the BootProfile says. It was not served.",
			"If the file was changed on purpose, set sha256 anew. If not, find out who changed it."},
		{CauseStorage, "The cache can't be written or read",
			"The server has no room for the file, or its disk fails.",
			"Look at the server's log and at the volume of --data-dir."},
		{CauseKernelNeverAsked, "The loader never asks for the kernel",
			"The loader got the machine's configuration and then asked for nothing more. The address in it may not be reachable from the machine, " +
				"the loader may wait in a menu, or it does not understand a template.",
			"Check that the machine reaches the server's HTTP port; look at the console; see what it got with `kubectl netboot render`."},
		{CausePayloadIncomplete, "The loader gave up between two files",
			"The loader fetched one of kernel and initrd whole and never asked for the other: it refused what it had. Reasons are a kernel without " +
				"a valid signature under Secure Boot, a kernel for another architecture, and too little memory.",
			"Look at the machine's console: the loader says there what it dislikes."},
		{CauseConfigNeverFetched, "The installer was never heard of",
			"The machine fetched all that it boots, and then neither asked for its configuration nor called back: the kernel does not start, has no " +
				"driver for the network card, or its arguments do not name the configuration's address.",
			"Look at the console; check kernelArgs, above all ip= and the URL of the configuration, and that the initrd has the driver."},
		{CauseNeverCompleted, "The installer never said that it was done",
			"The machine's installer ran, and the machine booted again, or was silent for a day, without a callback.",
			"Let the installer call the URL that {{ .CompleteURL }} stands for at its end, or set spec.completeOn: PayloadServed."},
		{CauseInstallerFailed, "The installer reports a failure",
			"The machine's installer called back to say that it has failed.",
			"Read its message, and the log of the installer. A new spec.bootID starts over."},
		{CauseTokenMissing, "A URL without its token",
			"The machine asks for something that needs a token, and its URL has none.",
			"Let the template use {{ .ConfigURL \"name\" }} rather than an address of its own."},
		{CauseTokenWrong, "A URL with a wrong token",
			"The token in the URL is of another machine, another bootID or another config, or is damaged.",
			"Boot the machine anew, so that it gets new URLs; if that does not help, look for what changes the kernel's arguments."},
		{CauseTokenExpired, "A URL whose token has expired",
			"The machine asked for its configuration too long after it had got the URL.",
			"Boot the machine anew, or raise the life of tokens."},
		{CauseServerNotReady, "The server could not answer yet",
			"The server does not have all that it needs, such as the key of the tokens.",
			"Look at the server's log."},
		{CauseServerStopped, "The server was stopped in the middle",
			"A transfer was still under way when the server had to stop.",
			"Boot the machine anew. Raise --shutdown-grace if transfers take longer than that."},
		{CauseServerFault, "A fault of the server",
			"The server could not answer, by its own fault.",
			"Look at the server's log, which has the reason."},
		{CauseLoop, "The machine goes round in circles",
			"Three boots in a row, or more, ended at the same stage, and what was seen of them does not tell why.",
			"Look at the machine's console."},
		{CauseHeld, "Held after three boots without completion",
			"Under the policy Once, three boots got their configuration and none was completed. The machine boots from its disk until it gets another " +
				"bootID.",
			"Find out why the boots before were not completed; then set a new spec.bootID."},
		{CauseUnknown, "Not known",
			"The boot stopped, and nothing that was seen tells why.",
			"Look at the machine's console, and at what was seen last."},
	}
}
