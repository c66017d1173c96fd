// Loads what a part of a page shows. Says so while it does, and what to do if it fails.

import { Failure } from "./failure.js";
import { Component, html } from "./html.js";
import { effect } from "../vendor/signals-core/signals-core.module.js";
import { user } from "../session.js";
import { texts } from "../texts.js";

/** `load` returns a promise of the data; `children` is a function that shows them. */
export class Loaded extends Component {
  state = { data: null, error: null };

  componentDidMount() {
    // Also tries again after a session has expired, when the user has signed in again.
    this.stop = effect(() => {
      if (user.value && !this.state.data) this.load();
    });
  }

  componentWillUnmount() {
    this.stop();
  }

  load = async () => {
    this.setState({ error: null });
    try {
      this.setState({ data: await this.props.load() });
    } catch (error) {
      this.setState({ error: error.message });
    }
  };

  render({ children }, { data, error }) {
    if (data) return children(data);
    if (error) return html`<${Failure} message=${error} onRetry=${this.load} />`;
    return html`<p class="progress" role="status">${texts.account.loading} …</p>`;
  }
}
