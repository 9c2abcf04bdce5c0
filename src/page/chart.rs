//! One curve chart as inline SVG. Colours come from the page's classes, so that light and dark are the page's business;
//! runs differ in dashes too, so that colour is never all that tells them apart.

use std::fmt::Write as _;

use super::{short, ticks};

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 250.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 34.0;

/// Points that are drawn of a line; of longer ones each stretch gives its lowest and its highest, so peaks stay.
/// Price: about 12 bytes of page a point.
const POINTS: usize = 400;
/// Points that show their numbers when pointed at.
const MARKS: usize = 40;

/// One line of a chart.
#[derive(Debug, Clone)]
pub struct Line {
    /// The run it belongs to.
    pub run: usize,
    /// (step, value), by rising step.
    pub points: Vec<(u64, f64)>,
    /// Few points are marked with dots.
    pub dots: bool,
}

/// The chart, or a sentence where there is nothing to draw.
pub fn draw(title: &str, unit: &str, lines: &[Line]) -> String {
    let all = || lines.iter().flat_map(|line| line.points.iter().copied());
    let mut svg = format!("<figure><figcaption>{title}{}</figcaption>", unit_text(unit));
    let Some(frame) = Frame::around(all()) else {
        svg.push_str("<p class=\"none\">not measured in this run</p></figure>");
        return svg;
    };
    let last: Vec<String> = lines.iter().filter_map(|l| l.points.last()).map(|(_, value)| short(*value)).collect();
    let _ = write!(
        svg,
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}, last value {}\">",
        last.join(", ")
    );
    frame.axes(&mut svg);
    for line in lines {
        frame.line(&mut svg, line);
    }
    svg.push_str("</svg></figure>");
    svg
}

fn unit_text(unit: &str) -> String {
    if unit.is_empty() { String::new() } else { format!(" <small>{unit}</small>") }
}

/// From numbers to places.
struct Frame {
    steps: (f64, f64),
    values: (f64, f64),
}

impl Frame {
    fn around(points: impl Iterator<Item = (u64, f64)>) -> Option<Self> {
        let mut steps = (f64::MAX, f64::MIN);
        let mut values = (f64::MAX, f64::MIN);
        for (step, value) in points {
            let step = step as f64;
            steps = (steps.0.min(step), steps.1.max(step));
            values = (values.0.min(value), values.1.max(value));
        }
        if steps.0 > steps.1 {
            return None;
        }
        if steps.0 == steps.1 {
            steps = (steps.0 - 0.5, steps.1 + 0.5);
        }
        let room = ((values.1 - values.0) * 0.05).max(values.1.abs() * 1e-3).max(1e-12);
        // A curve of positive numbers gets no room below zero.
        let floor = if values.0 >= 0.0 { (values.0 - room).max(0.0) } else { values.0 - room };
        Some(Self { steps, values: (floor, values.1 + room) })
    }

    fn x(&self, step: f64) -> f64 {
        LEFT + (step - self.steps.0) / (self.steps.1 - self.steps.0) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - (value - self.values.0) / (self.values.1 - self.values.0) * (HEIGHT - TOP - BOTTOM)
    }

    fn axes(&self, svg: &mut String) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for value in ticks(self.values.0, self.values.1, 4) {
            let y = self.y(value);
            let _ = write!(svg, "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/>");
            let _ = write!(
                svg,
                "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 6.0,
                y + 4.5,
                short(value)
            );
        }
        for step in ticks(self.steps.0, self.steps.1, 4).into_iter().filter(|step| step.fract() == 0.0) {
            let x = self.x(step);
            let anchor = if x > right - 16.0 { "end" } else { "middle" };
            let _ = write!(svg, "<path class=\"grid\" d=\"M{x:.1} {bottom}v4\"/>");
            let _ = write!(
                svg,
                "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>",
                bottom + 18.0,
                short(step)
            );
        }
        let _ = write!(svg, "<path class=\"axis\" d=\"M{LEFT} {TOP}V{bottom}H{right}\"/>");
    }

    fn line(&self, svg: &mut String, line: &Line) {
        let drawn = thinned(&line.points);
        let mut path = String::new();
        for (index, (step, value)) in drawn.iter().enumerate() {
            let _ =
                write!(path, "{}{:.1} {:.1}", if index == 0 { "M" } else { "L" }, self.x(*step as f64), self.y(*value));
        }
        let run = line.run;
        if drawn.len() > 1 {
            let _ = write!(svg, "<path class=\"line r{run}\" d=\"{path}\"/>");
        }
        let every = drawn.len().div_ceil(MARKS).max(1);
        let shown = line.dots || drawn.len() == 1;
        for (step, value) in drawn.iter().step_by(every) {
            let (x, y) = (self.x(*step as f64), self.y(*value));
            let (class, radius) = if shown { ("dot", 3.0) } else { ("spot", 7.0) };
            let _ = write!(
                svg,
                "<circle class=\"{class} r{run}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\"><title>step {step}: {}</title></circle>",
                short(*value)
            );
        }
    }
}

/// At most [`POINTS`] points, peaks kept.
fn thinned(points: &[(u64, f64)]) -> Vec<(u64, f64)> {
    if points.len() <= POINTS {
        return points.to_vec();
    }
    let stretch = points.len().div_ceil(POINTS / 2);
    let mut kept = Vec::with_capacity(POINTS);
    for chunk in points.chunks(stretch) {
        let by = |a: &&(u64, f64), b: &&(u64, f64)| a.1.total_cmp(&b.1);
        let (Some(low), Some(high)) = (chunk.iter().min_by(by), chunk.iter().max_by(by)) else { continue };
        let (first, second) = if low.0 <= high.0 { (low, high) } else { (high, low) };
        kept.push(*first);
        if first.0 != second.0 {
            kept.push(*second);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_thinned_and_keep_their_peaks() {
        let mut points: Vec<(u64, f64)> = (0..10_000).map(|i| (i, (i as f64 * 0.01).sin())).collect();
        points[5001].1 = 40.0;
        let thin = thinned(&points);
        assert!(thin.len() <= POINTS && thin.contains(&(5001, 40.0)), "{}", thin.len());
        assert!(thin.is_sorted_by_key(|(step, _)| *step));
    }

    #[test]
    fn every_place_is_inside_the_picture() {
        for points in [vec![(3, 5.0)], vec![(0, -1.0), (10, 2.0)], vec![(1, 0.0), (2, 0.0)], vec![(1, 1e-9), (2, 3e-9)]]
        {
            let svg = draw("loss", "", &[Line { run: 0, points, dots: false }]);
            for number in svg.split("cx=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
                let x: f64 = number.parse().unwrap();
                assert!((LEFT..=WIDTH - RIGHT).contains(&x), "{svg}");
            }
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
        assert!(draw("loss", "", &[]).contains("not measured"));
    }
}
