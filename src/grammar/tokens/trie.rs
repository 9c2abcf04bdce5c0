//! All tokens of a vocabulary by their bytes, as one array in depth-first order: a branch is a run of the array.

use std::sync::atomic::{AtomicU64, Ordering};

use super::vocabulary::Vocabulary;

/// A trie node: its byte, the length of its run and the token that ends at it, 8 bytes.
#[derive(Debug, Clone, Copy)]
pub struct TrieNode {
    /// Byte in the high 8 bits, nodes in the branch (itself included) in the low 24.
    packed: u32,
    token: u32,
}

const NO_TOKEN: u32 = u32::MAX;

/// Most nodes in a trie, 16.7 million: vocabularies of 250k tokens need about one million.
const MOST_NODES: usize = (1 << 24) - 1;

impl TrieNode {
    /// The byte it reads.
    #[inline]
    pub fn byte(self) -> u8 {
        (self.packed >> 24) as u8
    }

    /// Nodes in its branch, itself included.
    #[inline]
    pub fn length(self) -> usize {
        (self.packed & 0xff_ffff) as usize
    }

    /// The token that ends here.
    #[inline]
    pub fn token(self) -> Option<u32> {
        (self.token != NO_TOKEN).then_some(self.token)
    }
}

/// A vocabulary, ready for masks. Share it in an `Arc`.
#[derive(Debug)]
pub struct TokenTrie {
    nodes: Vec<TrieNode>,
    /// Token `id`'s bytes are those from `starts[id]` to `starts[id + 1]`.
    starts: Vec<u32>,
    bytes: Vec<u8>,
    /// Tokens with the same bytes as an earlier one.
    twins: Vec<(u32, u32)>,
    ends: Vec<u32>,
    identity: u64,
}

impl TokenTrie {
    /// The trie of a vocabulary. `ends` are the ids that end an answer: they stand for the end, not for their text.
    pub fn new(vocabulary: &Vocabulary, ends: &[u32]) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mut ends = ends.to_vec();
        ends.sort_unstable();
        ends.dedup();
        let mut starts = vec![0];
        let mut bytes = Vec::new();
        for id in 0..vocabulary.size() as u32 {
            if ends.binary_search(&id).is_err() {
                bytes.extend_from_slice(vocabulary.bytes(id));
            }
            starts.push(bytes.len() as u32);
        }
        let mut own = Self {
            nodes: Vec::new(),
            starts,
            bytes,
            twins: Vec::new(),
            ends,
            identity: NEXT.fetch_add(1, Ordering::Relaxed),
        };
        own.build();
        own
    }

    fn build(&mut self) {
        let mut order: Vec<u32> = (0..self.size() as u32).filter(|id| !self.bytes(*id).is_empty()).collect();
        order.sort_by(|a, b| self.bytes(*a).cmp(self.bytes(*b)).then(a.cmp(b)));
        let mut nodes: Vec<TrieNode> = Vec::new();
        // The open branch: indices of the nodes from the top to the last token's end.
        let mut open: Vec<usize> = Vec::new();
        let mut twins = Vec::new();
        let mut before: &[u8] = &[];
        for id in order {
            let own = self.bytes(id);
            let shared = before.iter().zip(own).take_while(|(a, b)| a == b).count();
            if shared == own.len() && shared == before.len() {
                if let Some(first) = open.last().and_then(|at| nodes[*at].token()) {
                    twins.push((first, id));
                }
                continue;
            }
            if nodes.len() + own.len() > MOST_NODES {
                break;
            }
            close(&mut nodes, &mut open, shared);
            for byte in &own[shared..] {
                open.push(nodes.len());
                nodes.push(TrieNode { packed: u32::from(*byte) << 24, token: NO_TOKEN });
            }
            if let Some(last) = nodes.last_mut() {
                last.token = id;
            }
            before = own;
        }
        close(&mut nodes, &mut open, 0);
        self.nodes = nodes;
        self.twins = twins;
    }

    /// Number of ids.
    pub fn size(&self) -> usize {
        self.starts.len() - 1
    }

    /// A token's bytes; empty for those that stand for no text.
    pub fn bytes(&self, id: u32) -> &[u8] {
        match self.starts.get(id as usize..id as usize + 2) {
            Some([from, to]) => &self.bytes[*from as usize..*to as usize],
            _ => &[],
        }
    }

    /// Whether a token ends an answer.
    pub fn is_end(&self, id: u32) -> bool {
        self.ends.binary_search(&id).is_ok()
    }

    /// The tokens that end an answer, sorted.
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// Number of tokens that spell these bytes, the longest first; none if they cannot be spelt.
    pub fn spelling(&self, mut bytes: &[u8]) -> Option<usize> {
        let mut tokens = 0;
        while !bytes.is_empty() {
            bytes = &bytes[self.longest(bytes)?..];
            tokens += 1;
        }
        Some(tokens)
    }

    /// The length of the longest token that these bytes begin with.
    fn longest(&self, bytes: &[u8]) -> Option<usize> {
        let (mut at, mut end) = (0, self.nodes.len());
        let mut longest = None;
        for (depth, byte) in bytes.iter().enumerate() {
            while at < end && self.nodes[at].byte() != *byte {
                at += self.nodes[at].length();
            }
            let Some(node) = self.nodes.get(at).filter(|_| at < end) else { break };
            if node.token().is_some() {
                longest = Some(depth + 1);
            }
            (at, end) = (at + 1, at + node.length());
        }
        longest
    }

    /// The nodes in depth-first order.
    pub fn nodes(&self) -> &[TrieNode] {
        &self.nodes
    }

    /// (token in the trie, token with the same bytes that is not).
    pub fn twins(&self) -> &[(u32, u32)] {
        &self.twins
    }

    /// Tells this trie from every other of the process.
    pub(in crate::grammar) fn identity(&self) -> u64 {
        self.identity
    }

    /// Bytes in memory.
    pub fn memory(&self) -> usize {
        self.nodes.len() * size_of::<TrieNode>() + self.starts.len() * 4 + self.bytes.len()
    }
}

/// Ends all open branches deeper than `depth`.
fn close(nodes: &mut [TrieNode], open: &mut Vec<usize>, depth: usize) {
    let count = nodes.len();
    for at in open.drain(depth..) {
        nodes[at].packed |= (count - at) as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_are_runs() {
        let words: [&[u8]; 7] = [b"b", b"ab", b"a", b"", b"ab", b"abc", b"\xff"];
        let trie = TokenTrie::new(&Vocabulary::from_bytes(words.iter().map(|w| w.to_vec()).collect()), &[6]);
        let nodes: Vec<_> = trie.nodes().iter().map(|n| (n.byte(), n.length(), n.token())).collect();
        assert_eq!(nodes, [(b'a', 3, Some(2)), (b'b', 2, Some(1)), (b'c', 1, Some(5)), (b'b', 1, Some(0))]);
        assert_eq!(
            (trie.twins(), trie.size(), trie.bytes(5), trie.bytes(3), trie.bytes(99)),
            (&[(1, 4)][..], 7, &b"abc"[..], &b""[..], &b""[..])
        );
        assert!(trie.is_end(6) && trie.bytes(6).is_empty());
        assert_eq!((trie.spelling(b"abcab"), trie.spelling(b"ba"), trie.spelling(b"")), (Some(2), Some(2), Some(0)));
        assert_eq!(trie.spelling(b"abd"), None);
    }
}
