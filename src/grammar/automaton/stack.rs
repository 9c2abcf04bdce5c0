//! Stacks of parse threads: shared tails, each made once, swept when no thread stands on them.

use super::hash::Map;
use super::program::NodeId;

/// A stack; an index into [`Stacks`].
pub type StackId = u32;

/// The stack with nothing on it.
pub const BOTTOM: StackId = 0;

/// The top of a stack and what lies under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Frame {
    /// Where a called rule goes on, or the loop's `Again` node.
    pub node: NodeId,
    /// For a loop: rounds done. For a call: 0, or 1 + the rule if a guard wants to know when it ends.
    pub tag: u32,
    /// What lies under it.
    pub under: StackId,
}

/// All stacks in use.
#[derive(Debug, Default)]
pub struct Stacks {
    frames: Vec<Frame>,
    known: Map<Frame, StackId>,
    free: Vec<StackId>,
}

impl Stacks {
    pub fn new() -> Self {
        // Frame 0 is the bottom's place; it is never looked at.
        Self { frames: vec![Frame { node: 0, tag: 0, under: BOTTOM }], known: Map::default(), free: Vec::new() }
    }

    pub fn push(&mut self, frame: Frame) -> StackId {
        if let Some(id) = self.known.get(&frame) {
            return *id;
        }
        let id = match self.free.pop() {
            Some(id) => {
                self.frames[id as usize] = frame;
                id
            }
            None => {
                self.frames.push(frame);
                (self.frames.len() - 1) as StackId
            }
        };
        self.known.insert(frame, id);
        id
    }

    /// The top frame; ask only stacks above the bottom.
    pub fn top(&self, stack: StackId) -> Frame {
        self.frames[stack as usize]
    }

    /// Drops every stack that is under none of `roots`.
    pub fn sweep(&mut self, roots: impl Iterator<Item = StackId>) {
        let mut live = vec![false; self.frames.len()];
        live[BOTTOM as usize] = true;
        for root in roots {
            let mut at = root;
            while !live[at as usize] {
                live[at as usize] = true;
                at = self.frames[at as usize].under;
            }
        }
        self.free = (0..self.frames.len() as StackId).filter(|id| !live[*id as usize]).collect();
        while self.free.last().is_some_and(|id| *id as usize + 1 == self.frames.len()) {
            self.free.pop();
            self.frames.pop();
        }
        self.known.retain(|_, id| live[*id as usize]);
        self.known.shrink_to_fit();
        self.frames.shrink_to_fit();
    }

    /// Bytes in memory.
    pub fn memory(&self) -> usize {
        self.frames.len() * size_of::<Frame>() + self.known.len() * 24
    }
}
