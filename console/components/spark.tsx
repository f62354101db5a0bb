/** A line without axes, for the trend beside a figure. */

interface SparkProps {
  readonly values: readonly number[];
  readonly label: string;
}

const HEIGHT = 24;

export function Spark({ values, label }: SparkProps) {
  if (values.length < 2) return <svg class="spark" role="img" aria-label={label} />;
  const top = Math.max(...values, Number.MIN_VALUE);
  const step = 100 / (values.length - 1);
  const points = values.map(
    (value, index) => `${(index * step).toFixed(2)},${(HEIGHT - 1 - (value / top) * (HEIGHT - 3)).toFixed(2)}`,
  );
  return (
    <svg class="spark" viewBox={`0 0 100 ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={label}>
      <path class="area" d={`M0,${HEIGHT} L${points.join(" L")} L100,${HEIGHT} Z`} />
      <path d={`M${points.join(" L")}`} />
    </svg>
  );
}
