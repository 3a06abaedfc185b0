//! Charts over time, as SVG.

use std::error::Error;

use plotters::prelude::*;

/// Width and height, in units of the drawing: it is shown as wide as there is room, so that letters
/// are as large in both.
pub type Size = (u32, u32);

/// Of a chart as wide as the page.
pub const WIDE: Size = (1080, 280);

/// Of one of two side by side.
pub const HALF: Size = (520, 240);

/// What is left for the numbers beside the columns, and below them.
const BESIDE: (u32, u32) = (56, 30);

const MARGIN: u32 = 10;

const INK: RGBColor = RGBColor(71, 85, 105);
const FAINT: RGBColor = RGBColor(226, 232, 240);
const FONT: (&str, i32) = ("sans-serif", 13);

/// Why there is no chart.
pub type ChartError = Box<dyn Error + Send + Sync>;

/// A name, a colour, and a value for each column.
pub struct Series {
    /// What it is.
    pub name: &'static str,
    /// How it is drawn.
    pub colour: RGBColor,
    /// Its values.
    pub values: Vec<f64>,
}

/// Columns of series piled on each other.
pub fn columns(
    size: Size,
    labels: &[String],
    series: &[Series],
    unit: &str,
) -> Result<String, ChartError> {
    let sum = |place: usize| series.iter().map(|it| it.values[place]).sum::<f64>();
    let highest = (0..labels.len()).map(sum).fold(0.0, f64::max);
    draw(size, labels, highest, unit, |chart| {
        let mut below = vec![0.0; labels.len()];
        for one in series {
            let boxes = one.values.iter().zip(&mut below).enumerate().filter_map(
                |(place, (value, below))| {
                    let from = *below;
                    *below += value;
                    let (left, right) = (place as f64 + 0.1, place as f64 + 0.9);
                    (*value > 0.0).then(|| {
                        Rectangle::new([(left, from), (right, *below)], one.colour.filled())
                    })
                },
            );
            chart.draw_series(boxes.collect::<Vec<_>>()).map_err(|error| error.to_string())?;
        }
        Ok(())
    })
}

/// A line through the values that there are, with the area below it.
pub fn line(
    size: Size,
    labels: &[String],
    values: &[Option<f64>],
    colour: RGBColor,
    unit: &str,
) -> Result<String, ChartError> {
    let points: Vec<_> = values
        .iter()
        .enumerate()
        .filter_map(|(place, value)| Some((place as f64 + 0.5, (*value)?)))
        .collect();
    let highest = points.iter().map(|point| point.1).fold(0.0, f64::max);
    draw(size, labels, highest, unit, |chart| {
        let area = AreaSeries::new(points.clone(), 0.0, colour.mix(0.15))
            .border_style(colour.stroke_width(2));
        chart.draw_series(area).map_err(|error| error.to_string())?;
        let dots = points.iter().map(|point| Circle::new(*point, 3, colour.filled()));
        chart.draw_series(dots).map_err(|error| error.to_string())?;
        Ok(())
    })
}

type Plane<'a> = ChartContext<
    'a,
    SVGBackend<'a>,
    Cartesian2d<plotters::coord::types::RangedCoordf64, plotters::coord::types::RangedCoordf64>,
>;

fn draw(
    size: Size,
    labels: &[String],
    highest: f64,
    unit: &str,
    fill: impl FnOnce(&mut Plane) -> Result<(), String>,
) -> Result<String, ChartError> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        let top = if highest > 0.0 { highest * 1.1 } else { 1.0 };
        let mut chart = ChartBuilder::on(&root)
            .margin(MARGIN)
            .x_label_area_size(BESIDE.1)
            .y_label_area_size(BESIDE.0)
            .build_cartesian_2d(0.0..labels.len().max(1) as f64, 0.0..top)
            .map_err(|error| error.to_string())?;
        // At the middle of each column stands its label, as far as there is room.
        let every = labels.len().div_ceil(8).max(1);
        let named = |place: &f64| {
            let place = place.floor() as usize;
            if place.is_multiple_of(every) {
                labels.get(place).cloned().unwrap_or_default()
            } else {
                String::new()
            }
        };
        let number = |value: &f64| {
            if *value >= 1000.0 { format!("{:.1}k", value / 1000.0) } else { format!("{value}") }
        };
        chart
            .configure_mesh()
            .disable_x_mesh()
            .bold_line_style(FAINT)
            .light_line_style(TRANSPARENT)
            .axis_style(FAINT)
            .x_labels(labels.len().min(8) + 1)
            // From the column's begin to its middle.
            .x_label_offset(
                (size.0 - BESIDE.0 - 2 * MARGIN) as i32 / (2 * labels.len().max(1) as i32),
            )
            .x_label_formatter(&named)
            .y_labels(5)
            .y_label_formatter(&number)
            .y_desc(unit)
            .axis_desc_style(FONT.into_font().color(&INK))
            .label_style(FONT.into_font().color(&INK))
            .draw()
            .map_err(|error| error.to_string())?;
        fill(&mut chart)?;
        drop(chart);
        root.present().map_err(|error| error.to_string())?;
    }
    Ok(svg)
}
