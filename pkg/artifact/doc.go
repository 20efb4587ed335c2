// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package artifact keeps the files that machines boot: it fetches them from their URL on first use, verifies the digest
// before the first byte is served, keeps them in a folder by content, and opens them for random access.
//
// It does not log, knows nothing of Kubernetes, and never deletes what is in use. Its invariants:
//
//   - Bytes that were not hashed by this process are never served as sha256/HEX. A download becomes visible by a rename,
//     after its digest matched and it was synced; a file from an earlier run is hashed again before its first use.
//   - Any number of requests for one artifact cause one download. It belongs to the [Store]: a request that gives up
//     doesn't end it, [Store.Close] does.
//   - What can't be had is not asked for again at once: see Options.RetryAfter.
//   - An artifact without a digest is fetched once in the life of a Store, since its content may change any time; file
//     URLs without a digest are not copied at all, but opened where they are.
//   - All paths go through os.Root: neither an id from the network nor a file URL nor a symbolic link leaves its folder.
//
// The cache folder, of which one Store at a time is the owner:
//
//	sha256/HEX       verified files; they outlive the process
//	unverified/HEX   files without a digest, HEX being that of their URL; emptied by New
//	partial/         downloads under way; emptied by New
package artifact
