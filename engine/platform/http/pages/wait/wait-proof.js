// The proof of work: ALTCHA's widget, solving in workers, with the challenge of this buyer.

const WORKER = "/assets/pbkdf2.js";
const LABELS = {
  label: "Check that this is a browser",
  verifying: "Checking that this is a browser …",
  verified: "Checked: this is a browser",
  error: "The check did not work. Try again.",
  expired: "The check is too old. Try again.",
};

let ready = null;

async function load() {
  await import("/assets/altcha.min.js");
  await customElements.whenDefined("altcha-widget");
  const { $altcha } = globalThis;
  $altcha.algorithms.set("PBKDF2/SHA-256", () => new Worker(WORKER));
  $altcha.i18n.set("en", { ...$altcha.i18n.get("en"), ...LABELS });
}

/**
 * Show the widget in `place`, let it solve what `challenge` returns, and return the proof.
 * Rejects with the error of `challenge`, or when it cannot be solved here.
 */
export async function prove(place, challenge) {
  ready ??= load().catch((error) => {
    ready = null;
    throw error;
  });
  await ready;
  place.replaceChildren();
  const parameters = await challenge();
  const widget = document.createElement("altcha-widget");
  const result = new Promise((resolve, reject) => {
    widget.addEventListener("verified", ({ detail }) => resolve(detail.payload));
    widget.addEventListener("statechange", ({ detail }) => {
      if (detail.state === "error") reject(new Error("This browser could not do the check."));
    });
  });
  place.append(widget);
  await customElements.whenDefined("altcha-widget");
  widget.configure({
    challenge: parameters, language: "en", hideLogo: true, hideFooter: true,
    humanInteractionSignature: false, minDuration: 0,
  });
  const [proof] = await Promise.all([result, widget.verify()]);
  return proof;
}
