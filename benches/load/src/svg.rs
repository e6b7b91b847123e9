//! Plots as SVG, written by hand: bars for what is compared, lines for what grows.
//!
//! They are read in a dark page and in a light one, and each says in its description every value
//! that it draws, so nobody needs to see it.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

/// Bars side by side, in groups.
pub(crate) struct Bars {
    pub(crate) title: String,
    /// What the whole bars are, such as `calls/s`.
    pub(crate) unit: &'static str,
    /// Who is compared, in the order of colours.
    pub(crate) sides: Vec<String>,
    pub(crate) groups: Vec<Group>,
}

pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) bars: Vec<Bar>,
}

/// A bar from zero to `solid`, and on to `pale` where that is more.
pub(crate) struct Bar {
    /// Its place among the sides.
    pub(crate) side: usize,
    pub(crate) solid: f64,
    pub(crate) pale: f64,
}

/// What changes as something grows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Curve {
    /// The plot's file is named so.
    pub(crate) name: String,
    pub(crate) title: String,
    /// What grows, by tens.
    pub(crate) across: String,
    pub(crate) unit: String,
    pub(crate) series: Vec<Series>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 760.0;
const LEFT: f64 = 90.0;
const RIGHT: f64 = 110.0;
const BAR: f64 = 13.0;
const PLOT_HEIGHT: f64 = 240.0;
const STYLE: &str = "<style>text{font:12px system-ui,sans-serif;fill:#1f2328}.t{font-weight:600;font-size:14px}\
    .b{fill:#fff}.g{stroke:#d1d9e0;stroke-width:1}.c0{--c:#6e7781}.c1{--c:#0969da}.c2{--c:#bc4c00}.c3{--c:#1a7f37}\
    .f{fill:var(--c)}.l{fill:none;stroke:var(--c);stroke-width:2}.p{opacity:.4}\
    @media(prefers-color-scheme:dark){text{fill:#e6edf3}.b{fill:#0d1117}.g{stroke:#3d444d}.c0{--c:#9198a1}\
    .c1{--c:#4493f8}.c2{--c:#f0883e}.c3{--c:#3fb950}}</style>";

pub(crate) fn bars(plot: &Bars) -> String {
    let whole = |bar: &Bar| bar.solid.max(bar.pale);
    let most = plot.groups.iter().flat_map(|group| &group.bars).map(whole).fold(0.0, f64::max);
    let scale = if most > 0.0 { (WIDTH - LEFT - RIGHT) / most } else { 0.0 };
    let mut said = Vec::new();
    let mut drawn = legend(&plot.sides);
    let mut y = 64.0;
    for group in &plot.groups {
        let middle = y + BAR * group.bars.len() as f64 / 2.0 + 4.0;
        let _ = write!(
            drawn,
            "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            escaped(&group.name)
        );
        for bar in &group.bars {
            let (solid, long) = (bar.solid * scale, whole(bar) * scale);
            let value = if bar.pale > bar.solid {
                format!("{} – {}", number(bar.solid), number(bar.pale))
            } else {
                number(bar.solid)
            };
            let height = BAR - 2.0;
            let colour = bar.side % 4;
            if long > solid {
                let _ = write!(
                    drawn,
                    "<rect class=\"c{colour} f p\" x=\"{LEFT}\" y=\"{y}\" width=\"{long:.1}\" height=\"{height}\"/>"
                );
            }
            let _ = write!(
                drawn,
                "<rect class=\"c{colour} f\" x=\"{LEFT}\" y=\"{y}\" width=\"{solid:.1}\" height=\"{height}\"/>\
                 <text x=\"{:.1}\" y=\"{}\">{value}</text>",
                LEFT + long + 5.0,
                y + 10.0
            );
            let side = plot.sides.get(bar.side).map_or("", String::as_str);
            said.push(format!("{} {side} {value}", group.name));
            y += BAR;
        }
        y += 9.0;
    }
    page(&plot.title, plot.unit, &said.join("; "), y + 4.0, &drawn)
}

pub(crate) fn lines(plot: &Curve) -> String {
    let points = || plot.series.iter().flat_map(|series| &series.points);
    let least = points().map(|(x, _)| x.log10()).fold(f64::INFINITY, f64::min);
    let span = (points().map(|(x, _)| x.log10()).fold(f64::NEG_INFINITY, f64::max) - least).max(1e-9);
    let most = points().map(|(_, y)| *y).fold(0.0, f64::max).max(1e-9);
    let bottom = 64.0 + PLOT_HEIGHT;
    let place =
        |x: f64, y: f64| (LEFT + (x.log10() - least) / span * (WIDTH - LEFT - RIGHT), bottom - y / most * PLOT_HEIGHT);
    let mut drawn = legend(&plot.series.iter().map(|series| series.name.clone()).collect::<Vec<_>>());
    for quarter in 0..=4 {
        let value = most * f64::from(quarter) / 4.0;
        let y = bottom - PLOT_HEIGHT * f64::from(quarter) / 4.0;
        let _ = write!(
            drawn,
            "<line class=\"g\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 8.0,
            y + 4.0,
            number(value)
        );
    }
    let mut marks: Vec<f64> = points().map(|(x, _)| *x).collect();
    marks.sort_by(f64::total_cmp);
    marks.dedup();
    for mark in marks {
        let (x, y) = (place(mark, 0.0).0, bottom + 18.0);
        let _ = write!(drawn, "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{}</text>", number(mark));
    }
    let _ = write!(
        drawn,
        "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
        (LEFT + WIDTH - RIGHT) / 2.0,
        bottom + 36.0,
        escaped(&plot.across)
    );
    let mut said = Vec::new();
    for (colour, series) in plot.series.iter().enumerate() {
        let colour = colour % 4;
        let places: Vec<(f64, f64)> = series.points.iter().map(|(x, y)| place(*x, *y)).collect();
        let path: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = write!(drawn, "<polyline class=\"c{colour} l\" points=\"{}\"/>", path.join(" "));
        for (x, y) in places {
            let _ = write!(drawn, "<circle class=\"c{colour} f\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\"/>");
        }
        let values = series.points.iter().map(|(x, y)| format!("{} at {}", number(*y), number(*x)));
        said.push(format!("{}: {}", series.name, values.collect::<Vec<_>>().join(", ")));
    }
    page(&plot.title, &plot.unit, &said.join("; "), bottom + 46.0, &drawn)
}

fn legend(names: &[String]) -> String {
    let mut drawn = String::new();
    let mut x = LEFT;
    for (colour, name) in names.iter().enumerate() {
        let _ = write!(
            drawn,
            "<rect class=\"c{} f\" x=\"{x}\" y=\"38\" width=\"11\" height=\"11\"/><text x=\"{}\" y=\"48\">{}</text>",
            colour % 4,
            x + 16.0,
            escaped(name)
        );
        x += 34.0 + 7.0 * name.chars().count() as f64;
    }
    drawn
}

fn page(title: &str, unit: &str, said: &str, height: f64, drawn: &str) -> String {
    let title = escaped(title);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-labelledby=\"title desc\"><title id=\"title\">{title}</title><desc id=\"desc\">{unit}: {}</desc>{STYLE}\
         <rect class=\"b\" width=\"100%\" height=\"100%\" rx=\"6\"/><text class=\"t\" x=\"16\" y=\"22\">{title}, {unit}\
         </text>{drawn}</svg>\n",
        escaped(said),
        unit = escaped(unit),
    )
}

/// With commas between thousands; of small numbers as many places as matter.
pub(crate) fn number(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    if value != 0.0 && value < 10.0 && value.fract() != 0.0 {
        return format!("{value:.2}");
    }
    if value < 100.0 && value.fract() != 0.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_have_commas() {
        let texts = [0.0, 0.123, 9.99, 12.34, 123.4, 1_234.0, 1_234_567.8, f64::NAN].map(number);
        assert_eq!(texts, ["0", "0.12", "9.99", "12.3", "123", "1,234", "1,234,568", "–"]);
    }

    #[test]
    fn bars_are_as_long_as_their_values_and_say_them() {
        let bar = |side, solid, pale| Bar { side, solid, pale };
        let plot = bars(&Bars {
            title: "A & B".to_owned(),
            unit: "calls/s",
            sides: vec!["pgbench".to_owned(), "gateway".to_owned()],
            groups: vec![Group { name: "select".to_owned(), bars: vec![bar(0, 1_000.0, 0.0), bar(1, 500.0, 2_000.0)] }],
        });
        assert!(plot.contains("<title id=\"title\">A &amp; B</title>"), "{plot}");
        assert!(plot.contains("select pgbench 1,000; select gateway 500 – 2,000"), "{plot}");
        for width in ["width=\"280.0\"", "width=\"560.0\"", "width=\"140.0\""] {
            assert!(plot.contains(width), "{width}: {plot}");
        }
        assert!(plot.contains("prefers-color-scheme:dark") && plot.contains("role=\"img\""));
    }

    #[test]
    fn lines_grow_by_tens_across_and_begin_at_zero() {
        let plot = lines(&Curve {
            name: "n".to_owned(),
            title: "Rows".to_owned(),
            across: "rows".to_owned(),
            unit: "µs".to_owned(),
            series: vec![Series { name: "p50".to_owned(), points: vec![(10.0, 0.0), (100.0, 5.0), (1_000.0, 10.0)] }],
        });
        assert!(plot.contains("points=\"90.0,304.0 370.0,184.0 650.0,64.0\""), "{plot}");
        assert!(plot.contains("p50: 0 at 10, 5 at 100, 10 at 1,000"), "{plot}");
    }
}
