//! Rows embedded into each row: read again and again, so each time by an index that leads to them.
//!
//! A row that is referred to is one, by its key. A list's rows must be led to by the column that
//! refers, in the list's order; what a scope holds at most is no bound, since it is read for each row.

use rowgate_schema_dsl::function::{Expand, Function, Link};
use rowgate_schema_dsl::model::Index;
use rowgate_schema_dsl::name::Name;

use crate::plan::cost::scan::narrowing;
use crate::plan::cost::suggest::{Suggestion, list_suggestion};
use crate::plan::cost::tree::{Kind, Node};
use crate::plan::cost::{Bound, EmbeddedExcess, Excess, Judging, Read, first_scan};

/// What `node` reads the embedded rows of, where it does: their table goes by the member's name.
pub(super) fn of<'f>(function: &'f Function, node: &Node) -> Option<&'f Expand> {
    if node.feeds {
        return None;
    }
    let alias = first_scan(node)?.alias.as_deref()?;
    function.body.expand().iter().find(|expand| expand.name == *alias)
}

impl Judging<'_> {
    /// Judges the plan of one member's rows.
    pub(super) fn embedded(&mut self, expand: &Expand, node: &Node) {
        let (Some(table), Some(scan)) = (self.model.table(expand.table.as_str()), first_scan(node)) else { return };
        let narrowing = narrowing(table, scan);
        let sorts = self.sorts(node);
        let (bound, excess) = match (&expand.link, narrowing.key) {
            (_, Some(columns)) => (Bound::Key { columns }, None),
            (Link::Row { .. }, None) => (Bound::None, Some(Excess::Scan)),
            (Link::Rows { .. }, None) if sorts => (Bound::None, Some(Excess::Sort)),
            (Link::Rows { by, limit, .. }, None) if narrowing.equal.first().is_some_and(|first| *by == **first) => {
                (Bound::Limit { rows: Some(*limit) }, None)
            }
            (Link::Rows { .. }, None) => (Bound::None, Some(Excess::Scan)),
        };
        let member = expand.name.to_string();
        let mut read = Read {
            table: table.name.to_string(),
            index: scan.index.clone(),
            bound,
            filters: scan.filters,
            embedded: Some(member.clone()),
        };
        match (excess, self.declared(expand)) {
            (None, _) => self.cost.sorts |= sorts,
            // As `prefer_declared`: over rows it is this index that is chosen.
            (Some(_), Some(index)) => {
                read.index = Some(index);
                read.filters = false;
                read.bound = Bound::Limit { rows: Some(expand.list_rows_max()) };
            }
            (Some(excess), None) => {
                self.cost.sorts |= sorts;
                self.cost.embedded_excesses.push(EmbeddedExcess { member, excess });
            }
        }
        self.cost.reads.push(read);
    }

    /// Whether rows are sorted before the first of them is there.
    fn sorts(&self, node: &Node) -> bool {
        let here = node.kind == Kind::Sort && (node.presorted.is_empty() || !self.presorted_is_unique(node));
        here || node.children.iter().any(|child| self.sorts(child))
    }

    /// The name in the database of the index that would do, where it is declared.
    fn declared(&self, expand: &Expand) -> Option<String> {
        let Suggestion::Index { columns, .. } = list_suggestion(self.model, expand) else { return None };
        let table = self.model.table(expand.table.as_str())?;
        let is_it = |index: &&Index| {
            !index.unique && index.columns.iter().map(Name::as_str).eq(columns.iter().map(String::as_str))
        };
        table.indexes.iter().find(is_it).map(|index| table.index_identifier(index))
    }
}
