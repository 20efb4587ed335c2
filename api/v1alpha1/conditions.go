// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Condition types of Machines and BootProfiles. Each is True when all is well, but for Reconciling and Stalled, which
// follow kstatus: absent is good; and for NetbootArmed and Booted, which tell what is, not whether it is good.
const (
	// ConditionAccepted says whether the object's own spec is understood.
	ConditionAccepted = "Accepted"
	// ConditionProfileResolved says whether the BootProfile that a Machine names exists and fits it.
	ConditionProfileResolved = "ProfileResolved"
	// ConditionRendered says whether the boot configuration of every loader renders for this Machine.
	ConditionRendered = "Rendered"
	// ConditionArtifactsReady says whether the files that a BootProfile names can be had and have the right digest.
	ConditionArtifactsReady = "ArtifactsReady"
	// ConditionReady sums the others up: understood, rendered and servable. It never means "booted".
	ConditionReady = "Ready"
	// ConditionNetbootArmed says whether a Machine boots its profile when it next asks. False is no fault: see the reason.
	ConditionNetbootArmed = "NetbootArmed"
	// ConditionBooted says whether the latest boot of a Machine got through.
	ConditionBooted = "Booted"
	// ConditionReconciling is True while the artifacts of a BootProfile come. It follows kstatus, like Stalled.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is True while only an edit of an object can help.
	ConditionStalled = "Stalled"
)

// Reasons of conditions. A reason is part of the API: people and alerts match on it.
const (
	// ReasonAccepted: the spec is understood.
	ReasonAccepted = "Accepted"
	// ReasonInvalidSpec: the stored object breaks a rule of today's schema; the message names the field.
	ReasonInvalidSpec = "InvalidSpec"
	// ReasonIdentityConflict: an older Machine already has one of this Machine's MAC addresses, its UUID or serial.
	ReasonIdentityConflict = "IdentityConflict"

	// ReasonProfileResolved: the profile exists and has a platform for the machine.
	ReasonProfileResolved = "ProfileResolved"
	// ReasonNoProfile: the Machine names no profile; it is known and boots from its own disk.
	ReasonNoProfile = "NoProfile"
	// ReasonProfileNotFound: there is no BootProfile of that name in the Machine's namespace.
	ReasonProfileNotFound = "ProfileNotFound"
	// ReasonProfileNotAccepted: the BootProfile exists, but is not itself accepted.
	ReasonProfileNotAccepted = "ProfileNotAccepted"
	// ReasonArchitectureNotInProfile: the profile has no platform of the Machine's architecture.
	ReasonArchitectureNotInProfile = "ArchitectureNotInProfile"

	// ReasonRendered: PXELINUX, GRUB and iPXE configurations render.
	ReasonRendered = "Rendered"
	// ReasonTemplateError: a template does not parse, names an unknown key, or its result can't stand in a configuration.
	ReasonTemplateError = "TemplateError"
	// ReasonConfigMapNotFound: there is no ConfigMap of the name that a config refers to.
	ReasonConfigMapNotFound = "ConfigMapNotFound"
	// ReasonConfigMapKeyNotFound: the ConfigMap that a config refers to has no such key.
	ReasonConfigMapKeyNotFound = "ConfigMapKeyNotFound"
	// ReasonSecretNotFound: there is no Secret of the name that a config refers to.
	ReasonSecretNotFound = "SecretNotFound"
	// ReasonSecretKeyNotFound: the Secret that a config refers to has no such key.
	ReasonSecretKeyNotFound = "SecretKeyNotFound"
	// ReasonSourceForbidden: the operator may not read the ConfigMap or Secret that a config refers to.
	ReasonSourceForbidden = "SourceForbidden"
	// ReasonSourceUnreadable: the API server did not deliver it; it is asked again.
	ReasonSourceUnreadable = "SourceUnreadable"
	// ReasonNotRendered: not tried, because an earlier condition is False.
	ReasonNotRendered = "NotRendered"

	// ReasonFetched: every artifact is in the cache of every pod.
	ReasonFetched = "Fetched"
	// ReasonFetching: not every pod has every artifact yet; nothing is known to be wrong.
	ReasonFetching = "Fetching"
	// ReasonDigestMismatch: an upstream delivered other bytes than sha256 says.
	ReasonDigestMismatch = "DigestMismatch"
	// ReasonUpstreamUnavailable: an upstream could not be reached, broke off, or answered an error status.
	ReasonUpstreamUnavailable = "UpstreamUnavailable"
	// ReasonUnauthorized: an upstream refused the credentials, or wants some.
	ReasonUnauthorized = "Unauthorized"
	// ReasonUnexpectedContent: an upstream answered something that is no artifact, such as an HTML page.
	ReasonUnexpectedContent = "UnexpectedContent"
	// ReasonSourceNotAllowed: the URL's scheme can't be fetched here.
	ReasonSourceNotAllowed = "SourceNotAllowed"
	// ReasonStorageFailed: the artifact cache of the pod could not be written or read.
	ReasonStorageFailed = "StorageFailed"

	// ReasonReady: the object is understood and served.
	ReasonReady = "Ready"
	// ReasonArtifactsNotReady: an artifact of the Machine's profile can't be had; the message says which and why.
	ReasonArtifactsNotReady = "ArtifactsNotReady"

	// ReasonArmed: the Machine boots its profile, once.
	ReasonArmed = "Armed"
	// ReasonContinuous: the Machine boots its profile each time it asks.
	ReasonContinuous = "Continuous"
	// ReasonCompleted: the boot of the present bootID is completed; a new bootID arms the Machine again.
	ReasonCompleted = "Completed"
	// ReasonDisabled: bootPolicy is Disabled.
	ReasonDisabled = "Disabled"
	// ReasonHeldBootLoop: three boots of the present bootID were begun and none was completed; a new bootID releases the
	// Machine.
	ReasonHeldBootLoop = "HeldBootLoop"

	// ReasonCompletedByCallback: the machine reported that its boot is completed.
	ReasonCompletedByCallback = "CompletedByCallback"
	// ReasonPayloadServed: all files of the boot were sent, and that completes it.
	ReasonPayloadServed = "PayloadServed"
	// ReasonBootFailed: the machine reported that its boot has failed.
	ReasonBootFailed = "BootFailed"
	// ReasonBootStopped: the boot stopped; status.lastBoot tells where, and why if that is known.
	ReasonBootStopped = "BootStopped"
	// ReasonNotCompleted: the boot runs, or it is not known how it ended.
	ReasonNotCompleted = "NotCompleted"
	// ReasonNotBooted: the Machine has not booted yet.
	ReasonNotBooted = "NotBooted"
)
