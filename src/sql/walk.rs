//! Walks over syntax trees, compiled once.
//!
//! The parser's own `visit_expressions` and `Visit::visit` are generic over the visitor: each closure compiles some five
//! hundred functions anew, one for every node type (a quarter of this program once). Here they know one visitor, which
//! asks the real one behind a reference.

use std::ops::ControlFlow;

use sqlparser::ast::{Expr, ObjectName, Query, TableFactor, Visit, VisitMut, Visitor, VisitorMut};

/// Walks over a node and all below it. The visitor hears of queries, table factors, relations and expressions.
pub fn walk(node: &impl Visit, visitor: &mut dyn Visitor<Break = ()>) -> ControlFlow<()> {
    node.visit(&mut Behind(visitor))
}

/// [`walk`] with leave to change the nodes.
pub fn walk_mut(node: &mut impl VisitMut, visitor: &mut dyn VisitorMut<Break = ()>) -> ControlFlow<()> {
    node.visit(&mut BehindMut(visitor))
}

/// Calls `f` for each expression, outer ones first, until it breaks.
pub fn visit_expressions(node: &impl Visit, f: impl FnMut(&Expr) -> ControlFlow<()>) -> ControlFlow<()> {
    struct Each<F>(F);
    impl<F: FnMut(&Expr) -> ControlFlow<()>> Visitor for Each<F> {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            self.0(expr)
        }
    }
    walk(node, &mut Each(f))
}

/// Calls `f` for each expression, inner ones first, until it breaks.
pub fn visit_expressions_mut(node: &mut impl VisitMut, f: impl FnMut(&mut Expr) -> ControlFlow<()>) -> ControlFlow<()> {
    struct Each<F>(F);
    impl<F: FnMut(&mut Expr) -> ControlFlow<()>> VisitorMut for Each<F> {
        type Break = ();
        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            self.0(expr)
        }
    }
    walk_mut(node, &mut Each(f))
}

/// Calls `f` for the name of each relation, until it breaks.
pub fn visit_relations(node: &impl Visit, f: impl FnMut(&ObjectName) -> ControlFlow<()>) -> ControlFlow<()> {
    struct Each<F>(F);
    impl<F: FnMut(&ObjectName) -> ControlFlow<()>> Visitor for Each<F> {
        type Break = ();
        fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<()> {
            self.0(name)
        }
    }
    walk(node, &mut Each(f))
}

/// [`visit_relations`] with leave to change the names.
pub fn visit_relations_mut(
    node: &mut impl VisitMut,
    f: impl FnMut(&mut ObjectName) -> ControlFlow<()>,
) -> ControlFlow<()> {
    struct Each<F>(F);
    impl<F: FnMut(&mut ObjectName) -> ControlFlow<()>> VisitorMut for Each<F> {
        type Break = ();
        fn post_visit_relation(&mut self, name: &mut ObjectName) -> ControlFlow<()> {
            self.0(name)
        }
    }
    walk_mut(node, &mut Each(f))
}

struct Behind<'a>(&'a mut dyn Visitor<Break = ()>);

impl Visitor for Behind<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, node: &Query) -> ControlFlow<()> {
        self.0.pre_visit_query(node)
    }

    fn post_visit_query(&mut self, node: &Query) -> ControlFlow<()> {
        self.0.post_visit_query(node)
    }

    fn pre_visit_relation(&mut self, node: &ObjectName) -> ControlFlow<()> {
        self.0.pre_visit_relation(node)
    }

    fn post_visit_relation(&mut self, node: &ObjectName) -> ControlFlow<()> {
        self.0.post_visit_relation(node)
    }

    fn pre_visit_table_factor(&mut self, node: &TableFactor) -> ControlFlow<()> {
        self.0.pre_visit_table_factor(node)
    }

    fn post_visit_table_factor(&mut self, node: &TableFactor) -> ControlFlow<()> {
        self.0.post_visit_table_factor(node)
    }

    fn pre_visit_expr(&mut self, node: &Expr) -> ControlFlow<()> {
        self.0.pre_visit_expr(node)
    }

    fn post_visit_expr(&mut self, node: &Expr) -> ControlFlow<()> {
        self.0.post_visit_expr(node)
    }
}

struct BehindMut<'a>(&'a mut dyn VisitorMut<Break = ()>);

impl VisitorMut for BehindMut<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, node: &mut Query) -> ControlFlow<()> {
        self.0.pre_visit_query(node)
    }

    fn post_visit_query(&mut self, node: &mut Query) -> ControlFlow<()> {
        self.0.post_visit_query(node)
    }

    fn pre_visit_relation(&mut self, node: &mut ObjectName) -> ControlFlow<()> {
        self.0.pre_visit_relation(node)
    }

    fn post_visit_relation(&mut self, node: &mut ObjectName) -> ControlFlow<()> {
        self.0.post_visit_relation(node)
    }

    fn pre_visit_table_factor(&mut self, node: &mut TableFactor) -> ControlFlow<()> {
        self.0.pre_visit_table_factor(node)
    }

    fn post_visit_table_factor(&mut self, node: &mut TableFactor) -> ControlFlow<()> {
        self.0.post_visit_table_factor(node)
    }

    fn pre_visit_expr(&mut self, node: &mut Expr) -> ControlFlow<()> {
        self.0.pre_visit_expr(node)
    }

    fn post_visit_expr(&mut self, node: &mut Expr) -> ControlFlow<()> {
        self.0.post_visit_expr(node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::dialect::Dialect;
    use crate::sql::parse::parse;

    #[test]
    fn every_expression_and_relation_comes_and_a_break_ends_the_walk() {
        let mut statements = parse("SELECT a + 1 FROM t WHERE b IN (SELECT c FROM u)", Dialect::Sqlite).unwrap();
        let (mut outer, mut inner, mut names) = (Vec::new(), Vec::new(), Vec::new());
        let _ = visit_expressions(&statements, |expr| {
            outer.push(expr.to_string());
            ControlFlow::Continue(())
        });
        let _ = visit_expressions_mut(&mut statements, |expr| {
            inner.push(expr.to_string());
            ControlFlow::Continue(())
        });
        let _ = visit_relations(&statements, |name| {
            names.push(name.to_string());
            ControlFlow::Continue(())
        });
        assert_eq!(outer, ["a + 1", "a", "1", "b IN (SELECT c FROM u)", "b", "c"]);
        assert_eq!(inner, ["a", "1", "a + 1", "b", "c", "b IN (SELECT c FROM u)"]);
        assert_eq!(names, ["t", "u"]);
        let mut seen = 0;
        let ended = visit_expressions(&statements, |_| {
            seen += 1;
            if seen == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(ended.is_break() && seen == 2);
    }
}
