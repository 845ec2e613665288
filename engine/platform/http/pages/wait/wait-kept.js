// What this browser keeps. Storage may be full or forbidden; the page works without.

/** What is kept under a name in "localStorage" or "sessionStorage", or null. */
export function kept(storage, name) {
  try {
    return window[storage].getItem(name); // even to name it may be forbidden
  } catch {
    return null;
  }
}

/** Keep a text under a name; null: nothing any more. */
export function keep(storage, name, value) {
  try {
    if (value === null) window[storage].removeItem(name);
    else window[storage].setItem(name, value);
  } catch {
    // As said above.
  }
}
