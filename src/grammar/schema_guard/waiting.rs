//! What waits: names without a source, windows without a definition, and the free names that it matters to tell apart.

use super::SchemaGuard;
use super::frames::{self, Frame, FrameId, ListId, Obligation, Phase, Place, Select};
use super::functions::Kind;
use super::names::{NONE, NameId, VEILED};

impl SchemaGuard {
    /// Whether a name that waits in a SELECT is one that a query around it has already: its own sources need not bring it.
    pub(super) fn is_provided_outside(&self, at: FrameId, obligation: Obligation) -> bool {
        if obligation.pinned || obligation.column == NONE {
            return false;
        }
        let (mut at, mut skip, mut own) = (at, false, true);
        while let Some((frame, under)) = self.frames.top(at) {
            match frame {
                Frame::Select(_) if std::mem::take(&mut own) || std::mem::take(&mut skip) => {}
                Frame::Select(select) if self.looks_ahead(select) || select.phase == Phase::CompoundOrder => {
                    return false;
                }
                Frame::Select(select) if obligation.qualifier == NONE => match self.count(select, obligation.column) {
                    0 => {}
                    count => return count == 1,
                },
                Frame::Select(select) => {
                    if let Some(source) = self.in_sight(select).iter().find(|s| s.name == obligation.qualifier) {
                        return frames::is_once(self.frames.names(source.columns), obligation.column);
                    }
                }
                Frame::Use(Place::Derived { .. }, _) => skip = true,
                Frame::Call(call) if matches!(self.function(*call).kind, Kind::Aggregate | Kind::Either) => {
                    return false;
                }
                Frame::Wall | Frame::Cte(..) | Frame::Open => return false,
                _ => {}
            }
            at = under;
        }
        false
    }

    /// How many sources a SELECT's names still need, about: one for each waiting qualifier, or one for bare columns that
    /// none of those may bring. `coming`: the columns of the source that is being read, as far as they are known.
    pub(super) fn missing(&self, at: FrameId, select: &Select, coming: Option<ListId>) -> usize {
        let mut qualifiers: Vec<NameId> = Vec::new();
        let mut bare = false;
        for obligation in &select.obligations {
            if obligation.qualifier == NONE {
                bare |= self.count(select, obligation.column) == 0 && !self.is_provided_outside(at, *obligation);
            } else if !select.sources.iter().any(|source| source.name == obligation.qualifier)
                && !qualifiers.contains(&obligation.qualifier)
                && !self.is_provided_outside(at, *obligation)
            {
                qualifiers.push(obligation.qualifier);
            }
        }
        let missing = if qualifiers.is_empty() { usize::from(bare) } else { qualifiers.len() };
        let Some(columns) = coming else { return missing };
        let columns = self.frames.names(columns);
        let serves = |qualifier: &NameId| {
            Self::needed(select, *qualifier).iter().all(|column| frames::is_once(columns, *column))
        };
        let helps = if qualifiers.is_empty() {
            select.obligations.iter().any(|o| o.qualifier == NONE && columns.contains(&o.column))
        } else {
            qualifiers.iter().any(serves)
        };
        // A source that serves none of them leaves as many, and one more to be read.
        if helps { missing } else { missing + 1 }
    }

    /// Qualifiers of the nearest SELECT that no source has yet.
    pub(super) fn waiting(&self, at: FrameId) -> Vec<NameId> {
        let Some((select, _)) = self.nearest(at) else { return Vec::new() };
        let taken = |name: NameId| select.sources.iter().any(|source| source.name == name);
        let mut names: Vec<NameId> = select.obligations.iter().map(|o| o.qualifier).collect();
        names.retain(|name| *name != NONE && !taken(*name));
        names.dedup();
        names
    }

    /// Windows that the nearest SELECT still has to define.
    pub(super) fn windows_waiting(&self, at: FrameId) -> Vec<NameId> {
        let Some((select, _)) = self.nearest(at) else { return Vec::new() };
        select.windows_needed.iter().copied().filter(|name| !select.windows.contains(name)).collect()
    }

    /// Free names that it matters to tell apart: those that wait and those that are taken.
    pub(super) fn names_of_interest(&self, mut at: FrameId) -> Vec<NameId> {
        let mut found = Vec::new();
        let mut waiting = Vec::new();
        while let Some((frame, under)) = self.frames.top(at) {
            match frame {
                Frame::Select(select) => {
                    let taken = |name: NameId| select.sources.iter().any(|source| source.name == name);
                    waiting.extend(select.obligations.iter().map(|o| o.qualifier).filter(|name| !taken(*name)));
                    found.extend(select.sources.iter().map(|source| source.name));
                    found.extend_from_slice(&select.windows);
                    found.extend_from_slice(&select.windows_needed);
                    found.extend_from_slice(self.frames.names(select.forbidden));
                }
                Frame::Query(query) => found.extend(query.ctes.iter().map(|(name, _)| *name)),
                Frame::Cte(name, columns, _) => {
                    found.push(*name);
                    found.extend(columns.iter().flat_map(|list| self.frames.names(*list)));
                }
                _ => {}
            }
            at = under;
        }
        found.extend(waiting);
        found.extend(self.catalog.tables.iter().map(|table| table.name));
        found.retain(|name| *name != NONE && *name != VEILED);
        found.sort_unstable();
        found.dedup();
        found
    }
}
