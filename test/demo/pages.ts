// What the bookshop knows and shows: pure functions from data to JSON and HTML.
import { z } from "zod";

/** v1 of the reviews service has no stars, v2 black ones, v3 red ones. */
export const ReviewsVersion = z.enum(["v1", "v2", "v3"]);
export type ReviewsVersion = z.infer<typeof ReviewsVersion>;

export const Details = z.object({
  title: z.string(),
  author: z.string(),
  year: z.int(),
  pages: z.int(),
  isbn: z.string(),
});
export type Details = z.infer<typeof Details>;

const Review = z.object({ reviewer: z.string(), text: z.string(), stars: z.int().min(0).max(5).optional() });

export const Reviews = z.object({
  version: ReviewsVersion,
  color: z.enum(["black", "red"]).optional(),
  reviews: z.array(Review),
});
export type Reviews = z.infer<typeof Reviews>;

/** Stars by reviewer. */
export const Ratings = z.record(z.string(), z.int().min(0).max(5));
export type Ratings = z.infer<typeof Ratings>;

export const DETAILS: Details = {
  title: "The Comedy of Errors",
  author: "William Shakespeare",
  year: 1595,
  pages: 200,
  isbn: "978-0-14-071474-2",
};

export const RATINGS: Ratings = { "Reviewer 1": 5, "Reviewer 2": 4 };

const TEXTS: z.infer<typeof Review>[] = [
  {
    reviewer: "Reviewer 1",
    text: "An extremely entertaining play by Shakespeare. The slapstick humour is refreshing!",
  },
  {
    reviewer: "Reviewer 2",
    text: "Absolutely fun and entertaining. The play lacks thematic depth when compared to others.",
  },
];

/** The reviews as a version tells them; `ratings` is `undefined` for the version that does not ask for them. */
export function buildReviews(version: ReviewsVersion, ratings: Ratings | undefined): Reviews {
  if (ratings === undefined) return { version, reviews: TEXTS };
  const reviews = TEXTS.map(({ reviewer, text }) => ({ reviewer, text, stars: ratings[reviewer] ?? 0 }));
  return { version, color: version === "v3" ? "red" : "black", reviews };
}

/** The product page. */
export function renderPage(details: Details, reviews: Reviews, user: string | undefined): string {
  const rows = Object.entries(details).map(
    ([name, value]) => `<dt>${escape(name)}</dt><dd>${escape(String(value))}</dd>`,
  );
  const quotes = reviews.reviews.map(
    ({ reviewer, text, stars }) =>
      `<blockquote>${escape(text)}<footer>${escape(reviewer)} ${renderStars(stars, reviews.color)}</footer></blockquote>`,
  );
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${escape(details.title)}</title>
<style>body{font:16px/1.5 system-ui;max-width:40rem;margin:3rem auto}dt{float:left;width:6rem;color:#666}.red{color:#c22}</style></head>
<body><h1>${escape(details.title)}</h1><p>${user === undefined ? "Not signed in" : `Signed in as ${escape(user)}`}</p>
<dl>${rows.join("")}</dl><h2>Reviews <small>by ${escape(reviews.version)}</small></h2>${quotes.join("")}</body></html>
`;
}

function renderStars(stars: number | undefined, color: Reviews["color"]): string {
  if (stars === undefined) return "";
  return `<span class="${color ?? "black"}">${"★".repeat(stars)}${"☆".repeat(5 - stars)}</span>`;
}

/** What a request says must not become markup: the user's name comes from a header. */
function escape(text: string): string {
  return Bun.escapeHTML(text);
}
