//! Classifiers of two classes, compared.

use crate::{
    bootstrap::Resampling,
    classify::{
        BinaryScores, Confusion, Figure, Metric, Options, Placements, Ranking, check_calibration, check_size,
        weighted_error,
    },
    error::{Result, StatsError, finite, same_length},
    estimate::{Confidence, Estimate, Method},
    mean,
    proportion::{Limits, PairedShares},
    values::usable,
};

/// What two models said about the same rows.
#[derive(Debug, Clone, PartialEq)]
pub struct PairedScores {
    champion: BinaryScores,
    candidate: BinaryScores,
    /// Of champion and candidate, where they differ from the options'.
    thresholds: Option<(f64, f64)>,
}

/// An interval narrower than this has no width but that of rounding.
const ROUNDING: f64 = 1e-12;

impl PairedScores {
    /// Labels as `bool` or `Option<bool>`, scores as `f64` or `Option<f64>`. A row is left out, and counted as missing,
    /// if its label or either score is. In which order rows come makes no difference.
    pub fn new<L, S, T>(labels: &[L], champion: &[S], candidate: &[T]) -> Result<Self>
    where
        L: Copy + Into<Option<bool>>,
        S: Copy + Into<Option<f64>>,
        T: Copy + Into<Option<f64>>,
    {
        same_length(("labels", labels.len()), ("champion's scores", champion.len()))?;
        same_length(("labels", labels.len()), ("candidate's scores", candidate.len()))?;
        check_size(labels.len())?;
        let mut kept = Vec::with_capacity(labels.len());
        for (row, ((&label, &champion), &candidate)) in labels.iter().zip(champion).zip(candidate).enumerate()
        {
            let scores = (label.into(), usable(champion.into()), usable(candidate.into()));
            if let (Some(label), Some(champion), Some(candidate)) = scores {
                kept.push((label, champion, candidate, row as u32));
            }
        }
        let missing = (labels.len() - kept.len()) as u64;
        if kept.is_empty() {
            return Err(StatsError::Empty { what: "the comparison", missing });
        }
        // A resample goes by where a row stands: the same rows in another order are to have the same interval.
        kept.sort_unstable_by(|a, b| {
            a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.total_cmp(&b.2)).then(a.3.cmp(&b.3))
        });
        let rows: Vec<u32> = kept.iter().map(|kept| kept.3).collect();
        let truth: Vec<bool> = kept.iter().map(|kept| kept.0).collect();
        let first = kept.iter().map(|kept| kept.1).collect();
        let second = kept.iter().map(|kept| kept.2).collect();
        Ok(Self {
            champion: BinaryScores::sifted(truth.clone(), first, rows.clone(), missing),
            candidate: BinaryScores::sifted(truth, second, rows, missing),
            thresholds: None,
        })
    }

    /// Each model decides by its own threshold instead of the options'.
    pub fn with_thresholds(self, champion: f64, candidate: f64) -> Result<Self> {
        let thresholds =
            (finite("champion's threshold", champion)?, finite("candidate's threshold", candidate)?);
        Ok(Self { thresholds: Some(thresholds), ..self })
    }

    pub fn champion(&self) -> &BinaryScores {
        &self.champion
    }

    pub fn candidate(&self) -> &BinaryScores {
        &self.candidate
    }

    fn n(&self) -> usize {
        self.champion.labels().len()
    }

    /// The metric of the candidate less that of the champion, by the sharpest method that there is for it: Newcombe's
    /// paired interval for accuracy, recall and specificity, DeLong's covariance for ROC AUC, Student's on
    /// differences a row for the losses, and the bootstrap for all others.
    ///
    /// Where these leave no width although the models score differently (both are perfect on these rows, say), the
    /// limits are recovered from the two models' own, as if they were independent. Models that score every row alike
    /// do not differ, and all intervals but Newcombe's say so without doubt.
    pub fn compare(&self, metric: Metric, options: &Options) -> Result<Estimate> {
        let delta = self.difference(metric, options)?;
        let delta = match delta.width() < ROUNDING && !self.is_one_model() {
            true => self.as_if_independent(metric, options, delta)?,
            false => delta,
        };
        Ok(delta.with_missing(self.champion.missing()))
    }

    fn is_one_model(&self) -> bool {
        let one_threshold = self.thresholds.is_none_or(|(champion, candidate)| champion == candidate);
        one_threshold && self.champion.scores() == self.candidate.scores()
    }

    fn as_if_independent(&self, metric: Metric, options: &Options, delta: Estimate) -> Result<Estimate> {
        let (first, second) = self.thresholds.unwrap_or((options.threshold, options.threshold));
        let alone =
            |rows: &BinaryScores, threshold| rows.evaluate(metric, &Options { threshold, ..*options });
        let (first, second) = (alone(&self.champion, first)?, alone(&self.candidate, second)?);
        let bounds = Limits::of(&second).difference(Limits::of(&first), 0.0);
        Ok(Estimate::new(delta.value, bounds, options.confidence, delta.n, Method::Mover))
    }

    fn difference(&self, metric: Metric, options: &Options) -> Result<Estimate> {
        let confidence = options.confidence;
        let shares = |figure, of: Option<bool>| self.hits(options, figure, of)?.difference(confidence);
        let decisions = |name, figure| self.compare_decisions(options, name, figure);
        Ok(match metric {
            Metric::Accuracy => shares("accuracy", None)?,
            Metric::Recall => shares("recall", Some(true))?,
            Metric::Specificity => shares("specificity", Some(false))?,
            Metric::RocAuc => self.compare_areas(confidence)?,
            Metric::LogLoss => {
                mean_difference(self.champion.log_losses()?, self.candidate.log_losses()?, confidence)
            }
            Metric::Brier => {
                mean_difference(self.champion.squared_losses()?, self.candidate.squared_losses()?, confidence)
            }
            Metric::AveragePrecision => self.compare_rankings(confidence, &options.resampling)?,
            Metric::CalibrationError => self.compare_calibration(options)?,
            Metric::BalancedAccuracy => decisions("balanced accuracy", Figure::BalancedAccuracy)?,
            Metric::Precision => decisions("precision", Figure::Precision)?,
            Metric::FBeta(beta) => decisions("F score", Figure::FBeta(beta))?,
            Metric::Mcc => decisions("Matthews' correlation", Figure::Mcc)?,
        })
    }

    /// Of the rows of one class, or of both, which model decided rightly: what McNemar's test is made of.
    pub fn outcomes(&self, options: &Options, class: Option<bool>) -> Result<PairedShares> {
        self.hits(options, "paired outcomes", class)
    }

    fn decisions(&self, options: &Options) -> Result<impl Iterator<Item = (bool, bool, bool)>> {
        let shared = finite("threshold", options.threshold)?;
        let (first, second) = self.thresholds.unwrap_or((shared, shared));
        let scores = self.champion.scores().iter().zip(self.candidate.scores());
        let rows = self.champion.labels().iter().zip(scores);
        Ok(rows.map(move |(&label, (&champion, &candidate))| (label, champion >= first, candidate >= second)))
    }

    fn hits(&self, options: &Options, figure: &'static str, class: Option<bool>) -> Result<PairedShares> {
        let of_class =
            self.decisions(options)?.filter(|(label, ..)| class.is_none_or(|class| class == *label));
        let shares: PairedShares =
            of_class.map(|(label, champion, candidate)| (champion == label, candidate == label)).collect();
        match shares.n() {
            0 => Err(StatsError::Undefined { figure, why: "no row is of the class that it is about" }),
            _ => Ok(shares),
        }
    }

    /// DeLong, DeLong and Clarke-Pearson (1988): the variance of a difference of areas from the differences of
    /// placements.
    fn compare_areas(&self, confidence: Confidence) -> Result<Estimate> {
        let (first, second) = (Placements::new(&self.champion)?, Placements::new(&self.candidate)?);
        let apart = |a: &[f64], b: &[f64]| b.iter().zip(a).map(|(b, a)| b - a).collect();
        let differences = Placements {
            positives: apart(&first.positives, &second.positives),
            negatives: apart(&first.negatives, &second.negatives),
        };
        let delta = second.area() - first.area();
        let reach = confidence.z() * differences.variance().unwrap_or(0.0).sqrt();
        let bounds = ((delta - reach).max(-1.0), (delta + reach).min(1.0));
        Ok(Estimate::new(delta, bounds, confidence, self.n() as u64, Method::DeLong))
    }

    fn compare_rankings(&self, confidence: Confidence, resampling: &Resampling) -> Result<Estimate> {
        let figure = "difference of average precision";
        self.champion.check_both_classes(figure)?;
        let (first, second) = (Ranking::new(&self.champion), Ranking::new(&self.candidate));
        resampling.estimate(figure, self.n(), confidence, |weights| {
            let weight = |row: usize| u64::from(weights[row]);
            Some(second.average_precision(weight)? - first.average_precision(weight)?)
        })
    }

    fn compare_calibration(&self, options: &Options) -> Result<Estimate> {
        check_calibration(&self.champion, options.bins)?;
        check_calibration(&self.candidate, options.bins)?;
        let figure = "difference of calibration error";
        options.resampling.estimate(figure, self.n(), options.confidence, |weights| {
            let error = |scores| weighted_error(scores, options.bins, |row| u64::from(weights[row]));
            Some(error(&self.candidate)? - error(&self.champion)?)
        })
    }

    fn compare_decisions(&self, options: &Options, name: &'static str, figure: Figure) -> Result<Estimate> {
        let rows: Vec<(bool, bool, bool)> = self.decisions(options)?.collect();
        options.resampling.estimate(name, self.n(), options.confidence, |weights| {
            let (mut first, mut second) = (Confusion::default(), Confusion::default());
            for (&(label, champion, candidate), &weight) in rows.iter().zip(weights) {
                first.add(label, champion, u64::from(weight));
                second.add(label, candidate, u64::from(weight));
            }
            Some(second.figure(figure)? - first.figure(figure)?)
        })
    }
}

/// The mean of `second − first` a row.
fn mean_difference(
    first: impl Iterator<Item = f64>,
    second: impl Iterator<Item = f64>,
    confidence: Confidence,
) -> Estimate {
    mean::estimate(second.zip(first).map(|(second, first)| second - first), confidence)
}
