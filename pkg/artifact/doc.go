// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package artifact keeps the files that machines boot: it fetches them from their URL before they are needed or on first
// use, verifies the digest before the first byte is served, keeps them in a folder by content, and opens them for random
// access.
//
// It does not log, knows nothing of Kubernetes, and never evicts what is kept or in use. Its invariants:
//
//   - Bytes that were not hashed by this process are never served as sha256/HEX. A download becomes visible by a rename,
//     after its digest matched and it was synced; a file from an earlier run is hashed again before its first use.
//   - Any number of requests for one artifact cause one download. It belongs to the [Store]: a request that gives up
//     doesn't end it, [Store.Close] does.
//   - What can't be had is not asked for again at once: see Options.Attempts and Options.RetryAfter.
//   - What has come of an artifact with a digest is hashed from its first byte on before the rest is asked for, and the whole
//     is judged by the digest alone: a wrong part costs another download, never a wrong byte.
//   - A file that turns out to be damaged is emptied, so that those who read it find its end.
//   - An artifact without a digest is fetched once in the life of a Store, since its content may change any time; file
//     URLs without a digest are not copied at all, but opened where they are.
//   - All paths go through os.Root: neither an id from the network nor a file URL nor a symbolic link leaves its folder.
//
// The cache folder. Several Stores, also of several processes, may have it at a time, as when a pod takes over from another:
// they then evict nothing, and don't touch what another writes.
//
//	sha256/HEX       verified files; they outlive the process
//	unverified/HEX   files without a digest, HEX being that of their URL; emptied by New
//	partial/HEX      downloads under way, or what has come of them; with a digest they are gone on with for a week
//	uses.json        when files were last used
//	users/           a locked file for each Store that has the folder
//	loading/         files that LoadBundle is writing, which may be another process
package artifact
