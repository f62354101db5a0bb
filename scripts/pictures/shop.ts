/** The sample shop of the pictures: its services, their calls and their trouble. */
import type { RolloutRequest } from "#config-server/api";

interface RolloutSample {
  readonly app: string;
  readonly reason: string;
  readonly value: string;
  readonly rollout: RolloutRequest;
}

export interface ShopService {
  readonly name: string;
  readonly instances: number;
  readonly version: string;
  /** Services that a request to it calls, too. */
  readonly calls: readonly string[];
  /** Milliseconds that it takes itself, on average. */
  readonly workMs: number;
}

export const SHOP: readonly ShopService[] = [
  { name: "storefront", instances: 4, version: "5.2.0", calls: ["catalog", "customers"], workMs: 6 },
  { name: "catalog", instances: 3, version: "2.11.3", calls: [], workMs: 9 },
  { name: "search", instances: 3, version: "1.8.0", calls: ["catalog"], workMs: 14 },
  { name: "cart", instances: 3, version: "3.0.4", calls: ["catalog", "inventory"], workMs: 5 },
  { name: "checkout", instances: 3, version: "4.1.0", calls: ["cart", "orders", "payments"], workMs: 8 },
  { name: "orders", instances: 3, version: "7.3.1", calls: ["inventory", "notifications"], workMs: 12 },
  { name: "payments", instances: 3, version: "2.4.0", calls: [], workMs: 35 },
  { name: "inventory", instances: 3, version: "1.14.2", calls: [], workMs: 7 },
  { name: "shipping", instances: 2, version: "1.2.0", calls: ["inventory"], workMs: 18 },
  { name: "customers", instances: 2, version: "3.3.0", calls: [], workMs: 4 },
  { name: "notifications", instances: 2, version: "1.0.9", calls: [], workMs: 10 },
  { name: "recommendations", instances: 2, version: "0.9.1", calls: ["catalog"], workMs: 22 },
];

/** The output of the checks of instances with trouble, by id. */
export const TROUBLE: Readonly<Record<string, { readonly status: "critical" | "warning"; readonly output: string }>> = {
  "payments-3": { status: "critical", output: "connect ECONNREFUSED 10.20.0.9:5432 (database payments)" },
  "search-2": { status: "critical", output: "index is being rebuilt: 503 Service Unavailable" },
  "inventory-2": { status: "warning", output: "replica is 42 s behind its primary" },
};

/** In the middle of the run for a short time, and at its end. */
export const PAST_TROUBLE = ["search-2"];
export const PRESENT_TROUBLE = ["payments-3", "inventory-2"];

/** Paths at the gateway, with how often each one is requested compared to the others. */
export const REQUESTS: readonly (readonly [path: string, weight: number])[] = [
  ["/", 8],
  ["/api/search?q=saddle", 5],
  ["/api/cart/42", 4],
  ["/api/checkout", 2],
  ["/api/orders/1042", 2],
  ["/api/shipping/1042", 1],
  ["/api/recommendations", 2],
  ["/api/unknown", 0.2],
];

export const GATEWAY_CONFIG = `# The shop's public routes. Ask the edge team before you change limits.
routes:
  - name: search
    match: { hosts: [shop.example.com], path: { prefix: /api/search } }
    service: search
    rateLimit: { requests: 50, perSeconds: 1, by: ip }
  - name: cart
    match: { hosts: [shop.example.com], path: { prefix: /api/cart } }
    service: cart
  - name: checkout
    match: { hosts: [shop.example.com], path: { prefix: /api/checkout }, methods: [GET, POST] }
    service: checkout
    timeouts: { totalMs: 5000 }
  - name: orders
    match: { hosts: [shop.example.com], path: { prefix: /api/orders } }
    service: orders
  - name: shipping
    match: { hosts: [shop.example.com], path: { prefix: /api/shipping } }
    service: shipping
  - name: recommendations
    match: { hosts: [shop.example.com], path: { prefix: /api/recommendations } }
    service: recommendations
  - name: old-shop
    match: { hosts: [shop.example.com], path: { prefix: /old } }
    redirect: { prefix: /, status: 308 }
  - name: storefront
    match: { hosts: [shop.example.com], path: { exact: / } }
    service: storefront
`;

/** Releases of a service's config, the oldest first, each with its reason. */
export const CONFIGS: Readonly<Record<string, readonly (readonly [reason: string, value: string])[]>> = {
  orders: [
    ["first version", "pool: 5\ntimeoutMs: 2000\nretries: 1\n"],
    ["retry twice, after the outage of Tuesday", "pool: 5\ntimeoutMs: 2000\nretries: 2\n"],
    [
      "larger pool for the spring sale",
      [
        "# Ask the database team before you raise the pool.",
        "pool: 20",
        "timeoutMs: 1500",
        "retries: 2",
        "features:",
        "  giftWrap: true",
        "  splitDelivery: false",
        "",
      ].join("\n"),
    ],
  ],
  payments: [["first version", "provider: north-bank\ntimeoutMs: 3000\n"]],
  catalog: [["first version", "cacheSeconds: 60\n"]],
  storefront: [["first version", "theme: spring\n"]],
};

/** A release of payments that goes to a part of its instances first, and stays there while the pictures are taken. */
export const ROLLOUT: RolloutSample = {
  app: "payments",
  reason: "new provider, one third first",
  value: "provider: south-bank\ntimeoutMs: 2500\n",
  rollout: { stages: [{ percent: 34, holdSeconds: 3_600 }], health: { unhealthyMax: 10 }, onFailure: "pause" },
};
