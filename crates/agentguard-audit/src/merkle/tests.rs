use std::path::PathBuf;

use base64ct::{Base64, Encoding as _};
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use serde::Deserialize;
use sha2::Sha256;

use super::*;

/// Trees of these sizes have edges of every shape: one, two and three levels of tiles.
const SIZES: [u64; 14] = [
    0, 1, 2, 3, 7, 255, 256, 257, 300, 511, 512, 513, 1000, 66_000,
];

fn leaf(index: u64) -> Vec<u8> {
    format!("leaf {index}").into_bytes()
}

fn oracle(size: u64) -> MemoryBackedTree<Sha256, Vec<u8>> {
    let mut tree = MemoryBackedTree::new();
    (0..size).for_each(|index| tree.push(leaf(index)));
    tree
}

/// The root of the full tree of `2^height` leaves, from the leaves.
fn full(height: u32, at: u64) -> Result<Digest, ()> {
    let count = 1u64 << height;
    let leaves: Vec<_> = (at * count..(at + 1) * count)
        .map(|index| leaf_hash(&leaf(index)))
        .collect();
    Ok(root_of(&leaves))
}

#[test]
fn the_edge_has_the_root_that_another_program_computes() {
    let mut edge = Edge::default();
    let mut tiles = Vec::new();
    for size in SIZES {
        while edge.size() < size {
            edge.push(leaf_hash(&leaf(edge.size())), &mut tiles);
        }
        let expected = oracle(size).root();
        assert_eq!(
            edge.root().0,
            <[u8; 32]>::from(*expected.as_bytes()),
            "{size}"
        );
        let widths: Vec<_> = edge.partial().map(|(l, at, t)| (l, at, t.len())).collect();
        let named: Vec<_> = partial_widths(size)
            .into_iter()
            .filter(|w| w.2 > 0)
            .collect();
        assert_eq!(widths, named, "{size}");
    }
    let full: Vec<_> = tiles.iter().map(|(level, at, _)| (*level, *at)).collect();
    assert_eq!(full.len(), 66_000 / 256 + 1);
    assert_eq!(&full[254..258], [(0, 254), (0, 255), (1, 0), (0, 256)]);
}

#[test]
fn proofs_are_those_that_another_program_makes_and_only_fit_their_leaf() {
    for size in SIZES.into_iter().filter(|size| *size > 0 && *size < 2000) {
        let tree = oracle(size);
        let root = Digest(<[u8; 32]>::from(*tree.root().as_bytes()));
        for index in [0, 1, size / 2, size - 1] {
            let proof = inclusion_proof(index, size, &mut full).unwrap();
            if index < size {
                let expected = tree.prove_inclusion(usize::try_from(index).unwrap());
                let bytes: Vec<u8> = proof.iter().flat_map(|hash| hash.0).collect();
                assert_eq!(bytes, expected.as_bytes(), "{index} of {size}");
            }
            let fits = |at, leaf: &Digest| verify_inclusion(at, size, leaf, &proof, &root);
            assert_eq!(fits(index, &leaf_hash(&leaf(index))), index < size);
            assert!(!fits(index, &leaf_hash(b"another")), "{index} of {size}");
            assert!(!fits(size, &leaf_hash(&leaf(index))), "{index} of {size}");
        }
    }
}

#[test]
fn consistency_proofs_that_another_program_makes_are_accepted() {
    let tree = oracle(300);
    let new_root = Digest(<[u8; 32]>::from(*tree.root().as_bytes()));
    for old in [1u64, 2, 3, 128, 200, 255, 256, 299] {
        let old_root = Digest(<[u8; 32]>::from(*oracle(old).root().as_bytes()));
        let proof = tree.prove_consistency(usize::try_from(300 - old).unwrap());
        let (hashes, _) = proof.as_bytes().as_chunks::<32>();
        let mut hashes: Vec<_> = hashes.iter().map(|hash| Digest(*hash)).collect();
        assert!(
            verify_consistency(old, 300, &hashes, &old_root, &new_root),
            "{old}"
        );
        assert!(
            !verify_consistency(old, 300, &hashes, &new_root, &new_root),
            "{old}"
        );
        hashes.pop();
        assert!(
            !verify_consistency(old, 300, &hashes, &old_root, &new_root),
            "{old}"
        );
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Inclusion {
    leaf_idx: u64,
    tree_size: u64,
    root: String,
    leaf_hash: String,
    proof: Option<Vec<String>>,
    want_err: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Consistency {
    size1: u64,
    size2: u64,
    root1: String,
    root2: String,
    proof: Option<Vec<String>>,
    want_err: bool,
}

/// The cases of RFC 6962 proofs that the crate `sigstore-merkle` ships, of one kind.
fn cases(kind: &str) -> Vec<String> {
    let mut pending = vec![vectors().join(kind)];
    let mut texts = Vec::new();
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else {
                texts.push(std::fs::read_to_string(path).unwrap());
            }
        }
    }
    texts
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test asks cargo where a crate lies"
)]
fn vectors() -> PathBuf {
    // Of other platforms' crates nothing need be there.
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let metadata = std::process::Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--offline",
            "--filter-platform",
        ])
        .arg(platform)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&metadata.stderr);
    assert!(metadata.status.success(), "`cargo metadata`: {error}");
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let package = packages
        .iter()
        .find(|package| package["name"] == "sigstore-merkle");
    let manifest = PathBuf::from(package.unwrap()["manifest_path"].as_str().unwrap());
    manifest.with_file_name("test-data/merkle/testdata")
}

/// A hash of a case. An empty one is none; what is too short stands for any that is not the tree's.
fn hash(text: &str) -> Option<Digest> {
    let bytes = Base64::decode_vec(text).unwrap();
    let placeholder = Digest::of(&bytes);
    (!bytes.is_empty()).then(|| bytes.try_into().map_or(placeholder, Digest))
}

fn hashes(proof: Option<Vec<String>>) -> Option<Vec<Digest>> {
    proof
        .unwrap_or_default()
        .iter()
        .map(|text| hash(text))
        .collect()
}

#[test]
fn the_known_cases_of_inclusion_are_judged_as_expected() {
    let cases = cases("inclusion");
    assert_eq!(cases.len(), 98);
    for text in cases {
        let case: Inclusion = serde_json::from_str(&text).unwrap();
        let parts = (hash(&case.leaf_hash), hashes(case.proof), hash(&case.root));
        let fits = match parts {
            (Some(leaf), Some(proof), Some(root)) => {
                verify_inclusion(case.leaf_idx, case.tree_size, &leaf, &proof, &root)
            }
            _ => false,
        };
        assert_eq!(fits, !case.want_err, "{text}");
    }
}

#[test]
fn the_known_cases_of_consistency_are_judged_as_expected() {
    let cases = cases("consistency");
    assert_eq!(cases.len(), 97);
    for text in cases {
        let case: Consistency = serde_json::from_str(&text).unwrap();
        let parts = (hash(&case.root1), hashes(case.proof), hash(&case.root2));
        let fits = match parts {
            (Some(old), Some(proof), Some(new)) => {
                verify_consistency(case.size1, case.size2, &proof, &old, &new)
            }
            _ => false,
        };
        assert_eq!(fits, !case.want_err, "{text}");
    }
}
