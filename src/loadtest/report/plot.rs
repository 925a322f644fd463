//! The curve as a picture: SVG, with the viewer's own fonts, so that no machine needs any to draw it.

use anyhow::anyhow;
use plotters::prelude::*;

use crate::loadtest::measure::{Curve, Window, rounded};

const SIZE: (u32, u32) = (960, 720);
const FONT: &str = "sans-serif";
const COLOURS: [RGBColor; 4] = [
    RGBColor(31, 119, 180),
    RGBColor(44, 160, 44),
    RGBColor(255, 127, 14),
    RGBColor(214, 39, 40),
];
/// One call in so many is where the percentiles end to the right: 99.999 %.
const MOST_NINES: f64 = 5.0;

type Figure = fn(&Window) -> f64;
type Panel<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// Two panels, one above the other: latency over time, latency by percentile. Both axes of latency grow by powers.
pub fn svg(title: &str, curve: &Curve) -> anyhow::Result<String> {
    let mut text = String::new();
    draw(title, curve, &mut text).map_err(|error| anyhow!("cannot draw: {error}"))?;
    Ok(text)
}

fn draw(title: &str, curve: &Curve, text: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let page = SVGBackend::with_string(text, SIZE).into_drawing_area();
    page.fill(&WHITE)?;
    let (above, below) = page.split_vertically(SIZE.1 / 2);
    over_time(title, curve, &above)?;
    by_percentile(curve, &below)?;
    page.present()?;
    Ok(())
}

/// A power of ten or so below and above all latencies, in ms.
fn range(curve: &Curve) -> std::ops::Range<f64> {
    let all = || {
        let lines = curve.windows.iter();
        lines.flat_map(|window| [window.p50_ms, window.max_ms])
    };
    let least = all().fold(f64::MAX, f64::min).clamp(0.01, 1_000.0);
    let most = all().fold(1.0, f64::max);
    let below = 10f64.powf(least.log10().floor());
    below..(most * 1.5).max(below * 10.0)
}

fn over_time(
    title: &str,
    curve: &Curve,
    panel: &Panel<'_>,
) -> Result<(), Box<dyn std::error::Error>> {
    let last = curve.windows.last().map_or(0.0, |window| window.from_s);
    // Room for the names of the lines behind their ends.
    let until = (last + curve.window_s) * 1.1;
    let mut chart = ChartBuilder::on(panel)
        .caption(title, (FONT, 22))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..until, range(curve).log_scale())?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .label_style((FONT, 15))
        .axis_desc_style((FONT, 16))
        .x_desc("seconds since the first confirm was due")
        .y_desc("ms")
        .y_labels(8)
        .y_label_formatter(&|ms| rounded(*ms).to_string())
        .draw()?;
    let lines: [(&str, Figure); 4] = [
        ("p50", |window| window.p50_ms),
        ("p90", |window| window.p90_ms),
        ("p99", |window| window.p99_ms),
        ("max", |window| window.max_ms),
    ];
    for ((name, figure), colour) in lines.into_iter().zip(COLOURS) {
        let middle = |window: &Window| window.from_s + curve.window_s / 2.0;
        let points = curve
            .windows
            .iter()
            .map(|window| (middle(window), figure(window)));
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)).point_size(2))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .label_font((FONT, 15))
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    Ok(())
}

fn by_percentile(curve: &Curve, panel: &Panel<'_>) -> Result<(), Box<dyn std::error::Error>> {
    let mut chart = ChartBuilder::on(panel)
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..MOST_NINES, range(curve).log_scale())?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .label_style((FONT, 15))
        .axis_desc_style((FONT, 16))
        .x_desc("percentile")
        .x_labels(6)
        .x_label_formatter(&|nines| percent_of(*nines))
        .y_desc("ms")
        .y_labels(8)
        .y_label_formatter(&|ms| rounded(*ms).to_string())
        .draw()?;
    let points = curve
        .percentiles
        .iter()
        .map(|one| (nines_of(one.percent), one.ms));
    chart.draw_series(LineSeries::new(points, COLOURS[0].stroke_width(2)).point_size(3))?;
    Ok(())
}

/// 90 % is one nine, 99 % two. All calls stand at the right end.
fn nines_of(percent: f64) -> f64 {
    let slower = 1.0 - percent / 100.0;
    if slower <= 0.0 {
        return MOST_NINES;
    }
    (-slower.log10()).min(MOST_NINES)
}

fn percent_of(nines: f64) -> String {
    if nines >= MOST_NINES {
        return "max".to_owned();
    }
    let percent = 100.0 - 10f64.powf(2.0 - nines);
    let decimals = (nines - 2.0).max(0.0).ceil() as usize;
    format!("{percent:.decimals$} %")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::loadtest::measure::stalled_in_the_third_second;

    #[test]
    fn the_picture_shows_each_line_and_draws_the_stall_higher_than_the_rest() {
        let curve = Curve::of(&stalled_in_the_third_second(20)).unwrap();
        let svg = svg("distinct: 200 orders", &curve).unwrap();
        for text in [
            "<svg",
            "distinct: 200 orders",
            "p50",
            "p99",
            "max",
            "99.9 %",
            "</svg>",
        ] {
            assert!(svg.contains(text), "{text} is missing");
        }
        // The first thick line is p50 over time: twenty points, the third one on top.
        let lines = svg
            .split("<polyline")
            .filter_map(|line| line.split("/>").next());
        let mut thick = lines.filter(|line| line.contains("stroke-width=\"2\""));
        let points = thick.next().unwrap().split("points=\"").nth(1).unwrap();
        let points = points.trim_end_matches('"').split_whitespace();
        let heights: Vec<f64> = points
            .map(|point| point.split(',').nth(1).unwrap().parse().unwrap())
            .collect();
        assert_eq!(heights.len(), 20);
        let highest = (0..20).min_by(|a, b| heights[*a].total_cmp(&heights[*b]));
        assert_eq!(highest, Some(2), "{heights:?}");
    }

    #[test]
    fn nothing_measured_is_drawn_as_an_empty_picture() {
        assert!(
            svg("nothing", &Curve::of(&[]).unwrap())
                .unwrap()
                .contains("</svg>")
        );
    }

    #[test]
    fn percentiles_stand_by_their_nines() {
        for (percent, nines, label) in [
            (0.0, 0.0, "0 %"),
            (90.0, 1.0, "90 %"),
            (99.0, 2.0, "99 %"),
            (99.9, 3.0, "99.9 %"),
            (99.99, 4.0, "99.99 %"),
            (100.0, 5.0, "max"),
        ] {
            assert!((nines_of(percent) - nines).abs() < 1e-6, "{percent}");
            assert_eq!(percent_of(nines), label);
        }
    }
}
