// Sound and notification: only what the buyer has asked for here, with the browser's permission.

const TONES = [[660, 0], [880, 0.18], [1320, 0.36]]; // Hz, seconds from the start

export class Signals {
  #audio = null;
  sound = false;
  notify = false;

  /** Turn the sound on or off, from a click: browsers allow sound only after one. */
  async toggleSound() {
    this.sound = !this.sound;
    if (!this.sound) return;
    this.#audio ??= new AudioContext();
    await this.#audio.resume();
    this.#play(TONES.slice(0, 1)); // so that one hears how loud it is
  }

  /** Ask for notifications, or stop them. Returns why there are none, if so. */
  async toggleNotify() {
    if (this.notify) {
      this.notify = false;
      return "";
    }
    if (!("Notification" in window)) return "This browser has no notifications.";
    const permission = await Notification.requestPermission();
    this.notify = permission === "granted";
    return this.notify ? "" : "The browser does not allow notifications of this page.";
  }

  turn(event) {
    if (this.sound) this.#play(TONES);
    if (!this.notify || !document.hidden) return;
    try {
      const note = new Notification("It is your turn", { body: event, tag: location.pathname });
      note.onclick = () => {
        window.focus();
        note.close();
      };
    } catch {
      // Some phones show them only from a service worker; the title and the sound remain.
    }
  }

  #play(tones) {
    const start = this.#audio.currentTime;
    for (const [frequency, after] of tones) {
      const tone = this.#audio.createOscillator();
      const volume = this.#audio.createGain();
      tone.frequency.value = frequency;
      volume.gain.setValueAtTime(0.15, start + after);
      volume.gain.exponentialRampToValueAtTime(0.001, start + after + 0.35);
      tone.connect(volume).connect(this.#audio.destination);
      tone.start(start + after);
      tone.stop(start + after + 0.4);
    }
  }
}
