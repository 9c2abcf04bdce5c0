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

/// A set of texts that a state may read for ever without leaving itself; nodes know which of them holds all that is
/// below them, so that a mask takes such a branch whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Below {
    /// Letters, digits, `_`, `$` and all characters beyond ASCII: what a word goes on with.
    Word = 1,
    /// Characters that end no string and no quoted name in any dialect.
    Text = 2,
}

impl Below {
    /// Whether an ASCII byte belongs to the set.
    pub fn has(self, byte: u8) -> bool {
        match self {
            Self::Word => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$'),
            Self::Text => byte.is_ascii() && !matches!(byte, 0 | b'\'' | b'"' | b'`' | b']' | b'\\'),
        }
    }
}

/// A vocabulary, ready for masks. Share it in an `Arc`.
#[derive(Debug)]
pub struct TokenTrie {
    nodes: Vec<TrieNode>,
    /// Token `id`'s bytes are those from `starts[id]` to `starts[id + 1]`.
    starts: Vec<u32>,
    bytes: Vec<u8>,
    /// The tokens at nodes, in the order of the nodes: a branch is a run here too.
    order: Vec<u32>,
    /// How many of `order` stand in front of each node.
    ranks: Vec<u32>,
    /// What all bytes below each node are: a set of [`Below`].
    below: Vec<u8>,
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
            order: Vec::new(),
            ranks: Vec::new(),
            below: Vec::new(),
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
        self.order = self.nodes.iter().filter_map(|node| node.token()).collect();
        let rank = |before: &mut u32, node: &TrieNode| {
            let own = *before;
            *before += u32::from(node.token().is_some());
            Some(own)
        };
        self.ranks = self.nodes.iter().scan(0, rank).collect();
        self.below = self.what_is_below();
    }

    /// For each node the sets that hold every byte below it; nothing where it stands inside a character.
    fn what_is_below(&self) -> Vec<u8> {
        let mut places = vec![Place::Broken; self.nodes.len()];
        let mut open: Vec<(usize, Place)> = Vec::new();
        for (at, node) in self.nodes.iter().enumerate() {
            while open.last().is_some_and(|(end, _)| *end <= at) {
                open.pop();
            }
            let before = open.last().map_or(Place::Boundary, |(_, place)| *place);
            places[at] = before.next(node.byte());
            open.push((at + node.length(), places[at]));
        }
        // From the end: `own` holds the sets of a node with all below it, `below` without itself.
        let (mut own, mut below) = (vec![0u8; self.nodes.len()], vec![0u8; self.nodes.len()]);
        for (at, node) in self.nodes.iter().enumerate().rev() {
            let mut sets = Below::Word as u8 | Below::Text as u8;
            let mut child = at + 1;
            while child < at + node.length() {
                sets &= own[child];
                child += self.nodes[child].length();
            }
            below[at] = if places[at] == Place::Boundary { sets } else { 0 };
            for set in [Below::Word, Below::Text] {
                let fits = places[at] != Place::Broken && (!node.byte().is_ascii() || set.has(node.byte()));
                own[at] |= if fits { sets & set as u8 } else { 0 };
            }
        }
        below
    }

    /// Whether all bytes below a node are of a set.
    #[inline]
    pub fn is_below(&self, node: usize, set: Below) -> bool {
        self.below[node] & set as u8 != 0
    }

    /// The tokens that end at a node or below it.
    #[inline]
    pub fn branch(&self, node: usize) -> &[u32] {
        let end = self.ranks.get(node + self.nodes[node].length()).map_or(self.order.len(), |rank| *rank as usize);
        &self.order[self.ranks[node] as usize..end]
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
            bytes = &bytes[self.bytes(self.first(bytes)?).len()..];
            tokens += 1;
        }
        Some(tokens)
    }

    /// The longest token that these bytes begin with: the first of their spelling.
    pub fn first(&self, bytes: &[u8]) -> Option<u32> {
        let (mut at, mut end) = (0, self.nodes.len());
        let mut longest = None;
        for byte in bytes {
            while at < end && self.nodes[at].byte() != *byte {
                at += self.nodes[at].length();
            }
            let Some(node) = self.nodes.get(at).filter(|_| at < end) else { break };
            longest = node.token().or(longest);
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
        self.nodes.len() * (size_of::<TrieNode>() + 5) + (self.starts.len() + self.order.len()) * 4 + self.bytes.len()
    }
}

/// Where in a character of UTF-8 a byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A character is complete.
    Boundary,
    /// So many bytes are missing, the next one from `low` to `high`.
    Inside { missing: u8, low: u8, high: u8 },
    /// It is no UTF-8, or began inside a character.
    Broken,
}

impl Place {
    fn next(self, byte: u8) -> Self {
        let inside = |missing, low, high| Self::Inside { missing, low, high };
        match (self, byte) {
            (Self::Boundary, 0..=0x7f) => Self::Boundary,
            (Self::Boundary, 0xc2..=0xdf) => inside(1, 0x80, 0xbf),
            (Self::Boundary, 0xe0) => inside(2, 0xa0, 0xbf),
            (Self::Boundary, 0xed) => inside(2, 0x80, 0x9f),
            (Self::Boundary, 0xe1..=0xef) => inside(2, 0x80, 0xbf),
            (Self::Boundary, 0xf0) => inside(3, 0x90, 0xbf),
            (Self::Boundary, 0xf1..=0xf3) => inside(3, 0x80, 0xbf),
            (Self::Boundary, 0xf4) => inside(3, 0x80, 0x8f),
            (Self::Inside { missing, low, high }, byte) if (low..=high).contains(&byte) => match missing {
                1 => Self::Boundary,
                _ => inside(missing - 1, 0x80, 0xbf),
            },
            _ => Self::Broken,
        }
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

    #[test]
    fn what_is_below_a_node_is_known_as_far_as_it_stands_between_characters() {
        let words: [&[u8]; 6] = [b"ab", b"a'", "z\u{e9}t".as_bytes(), b"z\xc3", b"q \xff", b"w -"];
        let trie = TokenTrie::new(&Vocabulary::from_bytes(words.iter().map(|w| w.to_vec()).collect()), &[]);
        let sets = |at: usize| (trie.is_below(at, Below::Word), trie.is_below(at, Below::Text));
        let at = |byte: u8| trie.nodes().iter().position(|node| node.byte() == byte).unwrap();
        assert_eq!(sets(at(b'a')), (false, false), "a quote is below");
        assert_eq!(sets(at(b'b')), (true, true), "nothing is below");
        assert_eq!(sets(at(b'z')), (true, true), "a character that is not complete is one as far as it goes");
        assert_eq!(sets(at(0xc3)), (false, false), "inside a character");
        assert_eq!(sets(at(b'q')), (false, false), "no UTF-8");
        assert_eq!(sets(at(b'w')), (false, true));
        assert_eq!((trie.branch(at(b'z')), trie.branch(at(b'q'))), (&[3, 2][..], &[4][..]));
    }
}
