import { expect, test } from "vitest";

import { parse, totals } from "./ledger";

test("a line is a payment", () => {
  expect(parse("2026-11-28;ann;12.34\n")).toEqual([{ day: "2026-11-28", to: "ann", cents: 1234 }]);
  expect(parse("2026-11-28;ann;-12.34")[0]?.cents).toBe(-1234);
});

test("what is no payment is said by its line", () => {
  expect(() => parse("2026-11-28;ann;1.00\nann")).toThrow("line 2");
});

test("the largest comes first, and equal ones by name", () => {
  const payments = parse("2026-11-28;bob;1.00\n2026-11-28;ann;0.50\n2026-11-29;ann;0.50\n2026-11-29;cid;3.00");
  expect(totals(payments).map((total) => [total.to, total.payments])).toEqual([
    ["cid", 1],
    ["ann", 2],
    ["bob", 1],
  ]);
});

test("a hundred thousand payments are summed", () => {
  const lines = Array.from({ length: 100_000 }, (_, n) => `2026-11-28;to${n % 97};${n}.00`);
  expect(totals(parse(lines.join("\n")))).toHaveLength(97);
});
