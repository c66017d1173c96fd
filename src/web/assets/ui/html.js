// Templates: `html` creates Preact elements, and `observer` makes components that follow signals.

import { Component, h } from "../vendor/preact/preact.module.js";
import htm from "../vendor/htm/htm.module.js";
import { effect } from "../vendor/signals-core/signals-core.module.js";

export { Component, createRef, render } from "../vendor/preact/preact.module.js";

export const html = htm.bind(h);

/** Makes a component from a function of its properties. It renders again when a signal changes that the function has read. */
export function observer(view) {
  return class extends Component {
    stop = () => {};

    componentWillUnmount() {
      this.stop();
    }

    render(properties) {
      // Each rendering may read other signals.
      this.stop();
      let result;
      let isFirst = true;
      this.stop = effect(() => {
        if (isFirst) result = view(properties);
        else this.setState({});
        isFirst = false;
      });
      return result;
    }
  };
}
