import { groupBy, orderBy, sumBy } from "lodash-es";

/** One payment, in cents. */
export interface Payment {
  day: string;
  to: string;
  cents: number;
}

export interface Total {
  to: string;
  payments: number;
  cents: number;
}

/** What each was paid, the largest first. */
export function totals(payments: readonly Payment[]): Total[] {
  const each = Object.entries(groupBy(payments, (payment) => payment.to));
  const sums = each.map(([to, all]) => ({ to, payments: all.length, cents: sumBy(all, "cents") }));
  return orderBy(sums, ["cents", "to"], ["desc", "asc"]);
}

/** Reads lines of `day;to;amount`, and says which one is none. */
export function parse(text: string): Payment[] {
  const lines = text.split("\n").filter((line) => line !== "");
  return lines.map((line, number) => {
    const found = /^(\d{4}-\d\d-\d\d);([^;]+);(-?\d+)\.(\d\d)$/.exec(line);
    if (found === null) throw new Error(`line ${number + 1} is no payment`);
    const [, day = "", to = "", whole = "", rest = ""] = found;
    const sign = whole.startsWith("-") ? -1 : 1;
    return { day, to, cents: Number(whole) * 100 + sign * Number(rest) };
  });
}
